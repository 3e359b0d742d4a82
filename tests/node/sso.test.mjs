// Signing in at another issuer, from the first redirect to the session: a real gateway, a real issuer, and a browser's
// requests.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { browser as chromium, serious, stranger } from "./browser.mjs";
import { start } from "./gateway.mjs";
import { Browser, CLIENT, NATIVE, issuer } from "./issuer.mjs";

let login, gateway;
before(async () => {
  login = await issuer();
  gateway = await start({
    TAPPASS_OIDC_ISSUER: login.url,
    TAPPASS_OIDC_CLIENT_ID: CLIENT.client_id,
    TAPPASS_OIDC_CLIENT_SECRET: CLIENT.client_secret,
    TAPPASS_OIDC_DOMAINS: "example.com",
    TAPPASS_OIDC_NAME: "Example's login",
    // It speaks plain HTTP, on this machine.
    TAPPASS_EGRESS_ALLOW: "127.0.0.1",
  });
  login.serve(gateway.url, true);
});
after(async () => {
  await gateway?.stop();
  await login?.stop();
});

const begin = (more = "") => `${gateway.url}/auth/oidc${more}`;
const refused = async (answer, status, code) => {
  const problem = await answer.json();
  assert.deepEqual([answer.status, problem.code], [status, code], JSON.stringify(problem));
  return problem;
};
/** Who a browser is to the gateway. */
const me = (browser) => browser.go(`${gateway.url}/auth/me`).then((answer) => answer.json());

async function post(path, body) {
  const headers = { "content-type": "application/json" };
  return fetch(gateway.url + path, { method: "POST", headers, body: JSON.stringify(body) });
}

test("which issuers there are", async () => {
  const { items } = await (await fetch(`${gateway.url}/auth/providers`)).json();
  assert.deepEqual(items, [{ id: "oidc", name: "Example's login", path: "/auth/oidc" }]);
  await refused(await fetch(`${gateway.url}/auth/google`), 404, "sso_not_configured");
});

test("a session, from the first redirect on", async () => {
  const browser = new Browser();
  // Nobody gets an organisation without asking for one.
  await refused(await browser.signIn(begin(), "bob"), 403, "no_account");
  const answer = await browser.signIn(begin("?org_name=Bob%27s"), "bob");
  assert.equal(answer.status, 200);
  const session = await answer.json();
  assert.equal(session.session.token, undefined);
  assert.deepEqual([session.user.email, session.user.role, session.org.name], ["bob@example.com", "org_admin", "Bob's"]);
  assert.equal((await me(browser)).user.user_id, session.user.user_id);
  // The next time he is known, in any browser; `next` is where he goes.
  const other = new Browser();
  other.stops = (url) => url.endsWith("/health");
  const sent = await other.signIn(begin("?next=/health"), "bob");
  assert.deepEqual([sent.status, sent.location], [303, "/health"]);
  assert.equal((await me(other)).user.user_id, session.user.user_id);
  // There is no password that opens it.
  const guess = await post("/auth/login", { email: "bob@example.com", password: "correct horse battery" });
  await refused(guess, 401, "wrong_credentials");
});

test("through the page, in a real browser: in, refused, and back", async () => {
  const browser = await chromium();
  try {
    const page = await stranger(browser);
    const troubles = [];
    page.on("pageerror", (error) => troubles.push(String(error)));
    const through = async (as) => {
      await page.goto(`${gateway.url}/app/sign-in?next=%2Fapp%2Faccount`);
      await page.getByRole("link", { name: "Continue with Example's login" }).click();
      await page.waitForURL((url) => url.origin === login.url);
      if (as === null) return page.getByRole("link", { name: "[ Cancel ]" }).click();
      await page.locator('input[name="login"]').fill(as);
      await page.locator('input[name="password"]').fill("any");
      await page.getByRole("button", { name: "Sign-in" }).click();
      await page.getByRole("button", { name: "Continue" }).click();
    };
    // Who turns back at the issuer is told so on a page, which leads to the beginning.
    await through(null);
    await page.getByRole("heading", { name: "You are not signed in" }).waitFor();
    assert.match(await page.locator("main").innerText(), /access_denied/);
    assert.deepEqual(await serious(page), []);
    // Nobody gets an organisation without asking for one, whoever vouches.
    await page.getByRole("link", { name: "Back to sign-in" }).click();
    await page.waitForURL(`${gateway.url}/app/sign-in`);
    await through("mallory");
    await page.getByText("may sign in people of certain domains only").waitFor();
    await page.context().clearCookies();
    await through("bob");
    await page.waitForURL(`${gateway.url}/app/account`);
    await page.getByText("bob@example.com").first().waitFor();
    // A link that was used leads back too; the account that is signed in stays so.
    await page.goto(`${gateway.url}/auth/oidc/callback?state=gone&code=none`);
    await page.getByRole("heading", { name: "You are not signed in" }).waitFor();
    await page.goto(`${gateway.url}/app`);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    assert.deepEqual(troubles, []);
  } finally {
    await browser.close();
  }
});

test("a terminal signs in with a browser's help", async () => {
  const home = await mkdtemp(join(tmpdir(), "tappass-cli-"));
  const ended = async (child) => (await once(child, "close"))[0];
  let login, unused;
  try {
    login = gateway.run(home, "login", "--with", "oidc", "--org-name", "Cleo's");
    const end = ended(login);
    const address = /within ten minutes: (\S+)/;
    while (!address.test(login.said)) {
      const said = once(login.stderr, "data").then(() => true);
      assert.ok(await Promise.race([said, end.then(() => false)]), login.said);
    }
    const [, url] = address.exec(login.said);
    const port = `http://127.0.0.1:${new URL(url).searchParams.get("port")}/`;
    // A connection that a browser opens ahead and never uses does not hold the terminal.
    unused = connect(new URL(url).searchParams.get("port"), "127.0.0.1");
    await once(unused, "connect");
    // Who only knows the port gets nothing, and does not disturb.
    const guess = await fetch(`${port}?code=guess`);
    assert.equal(guess.status, 400);
    const browser = new Browser();
    browser.stops = (to) => to.startsWith(port);
    const sent = await browser.signIn(url, "cleo");
    assert.equal(sent.status, 303);
    // The browser has no session of it, and the code is nothing without the terminal's secret.
    assert.equal((await browser.go(`${gateway.url}/auth/me`)).status, 401);
    const code = new URL(sent.location).searchParams.get("code");
    await refused(await post("/auth/cli", { code, verifier: "x".repeat(43) }), 400, "sign_in_expired");
    const page = await fetch(sent.location);
    assert.match(await page.text(), /You are signed in/);
    assert.equal(page.headers.get("cache-control"), "no-store");
    assert.equal(await end, 0, login.said);
    assert.match(login.said, /as cleo@example.com, organisation Cleo's/);
    const agents = gateway.run(home, "agents", "list");
    assert.equal(await ended(agents), 0, agents.said);
    const unknown = gateway.run(home, "login", "--with", "google");
    assert.equal(await ended(unknown), 2, unknown.said);
    assert.match(unknown.said, /nobody can sign in to .* with `google`/);
    // Half of what a program needs to say, a port that is none of a program's, a challenge that is none.
    const challenge = createHash("sha256").update("v").digest("base64url");
    for (const query of ["port=40000", `challenge=${challenge}`, `port=80&challenge=${challenge}`, "port=40000&challenge=v"]) {
      await refused(await fetch(begin(`?${query}`)), 400, "invalid_program");
    }
  } finally {
    unused?.destroy();
    login?.kill();
    await rm(home, { recursive: true });
  }
});

test("an issuer that tells addresses only to who asks", async () => {
  login.serve(gateway.url, false);
  const browser = new Browser();
  const answer = await browser.signIn(begin("?org_name=Dora%27s"), "dora");
  assert.equal((await answer.json()).user.email, "dora@example.com");
  login.serve(gateway.url, true);
});

test("only whom the issuer speaks for", async () => {
  // `ada@example.com` has an account, and this is somebody who says to be her.
  await refused(await new Browser().signIn(begin("?org_name=x"), "eve"), 403, "domain_not_allowed");
  await refused(await new Browser().signIn(begin("?org_name=x"), "mallory"), 403, "domain_not_allowed");
  // Who turns back at the issuer is told so, and nothing of what the issuer wrote.
  const problem = await refused(await new Browser().signIn(begin(), null), 401, "sign_in_refused");
  assert.match(problem.detail, /access_denied/);
});

test("an account that somebody made with another's address", async () => {
  const squatter = { email: "taken@example.com", password: "squatters password 1", org_name: "Taken" };
  const { session } = await (await post("/auth/signup", squatter)).json();
  const bearer = { headers: { authorization: `Bearer ${session.token}` } };
  assert.equal((await fetch(`${gateway.url}/auth/me`, bearer)).status, 200);
  const browser = new Browser();
  assert.equal((await browser.signIn(begin(), "taken")).status, 200);
  // Whoever made it is out: password and session have ended.
  assert.equal((await fetch(`${gateway.url}/auth/me`, bearer)).status, 401);
  const { email, password } = squatter;
  await refused(await post("/auth/login", { email, password }), 401, "wrong_credentials");
});

test("an answer ends one sign-in, in the browser that began it, once", async () => {
  const browser = new Browser();
  browser.stops = (url) => url.startsWith(`${gateway.url}/auth/oidc/callback`);
  const { location: answer } = await browser.signIn(begin(), "bob");
  // Another browser: the attacker's answer in the victim's, or the other way round.
  await refused(await new Browser().go(answer), 400, "sign_in_expired");
  const victim = new Browser();
  victim.stops = (url) => url.startsWith(login.url);
  await victim.go(begin());
  victim.stops = undefined;
  await refused(await victim.go(answer), 400, "sign_in_expired");
  // The right browser with another's code: the issuer misses the verifier of who began.
  const mine = new Browser();
  mine.stops = (url) => url.startsWith(login.url);
  const { location } = await mine.go(begin());
  mine.stops = undefined;
  const injected = new URL(answer);
  injected.searchParams.set("state", new URL(location).searchParams.get("state"));
  await refused(await mine.go(injected.href), 401, "sign_in_refused");
  // An answer of another issuer (RFC 9207).
  const confused = new Browser();
  confused.stops = (url) => url.startsWith(`${gateway.url}/auth/oidc/callback`);
  const mixed = new URL((await confused.signIn(begin(), "bob")).location);
  assert.equal(mixed.searchParams.get("iss"), login.url);
  mixed.searchParams.set("iss", "https://evil.example");
  await refused(await confused.go(mixed.href), 401, "sign_in_refused");
});

test("an answer is taken once", async () => {
  const browser = new Browser();
  browser.stops = (url) => url.startsWith(`${gateway.url}/auth/oidc/callback`);
  const { location: answer } = await browser.signIn(begin(), "bob");
  const before = new Map(browser.jar(gateway.url));
  browser.stops = undefined;
  assert.equal((await browser.go(answer)).status, 200);
  await refused(await browser.go(answer), 400, "sign_in_expired");
  browser.cookies.set(gateway.url, before);
  await refused(await browser.go(answer), 400, "sign_in_used");
});

test("an account takes on an identity, and lets it go", async () => {
  const password = "correct horse battery";
  await post("/auth/signup", { email: "linda@elsewhere.example", password, org_name: "Linda's" });
  const browser = new Browser();
  const headers = { "content-type": "application/json", origin: gateway.url };
  const body = JSON.stringify({ email: "linda@elsewhere.example", password, cookie: true });
  const { session, user } = await (await browser.go(`${gateway.url}/auth/login`, { method: "POST", headers, body })).json();
  const ours = { origin: gateway.url, "x-csrf-token": session.csrf_token };
  const link = `${gateway.url}/auth/oidc/link`;
  await refused(await browser.go(link, { method: "POST", headers: { ...ours, origin: "https://evil.example" } }), 403, "cross_site");
  const { url } = await (await browser.go(link, { method: "POST", headers: ours })).json();
  const { items } = await (await browser.signIn(url, "mallory")).json();
  assert.deepEqual([items.length, items[0].issuer, items[0].email], [1, login.url, "mallory@evil.example"]);
  // An identity of another account stays there.
  const { url: again } = await (await browser.go(link, { method: "POST", headers: ours })).json();
  const fresh = new Browser();
  fresh.cookies.set(gateway.url, browser.jar(gateway.url));
  await refused(await fresh.signIn(again, "bob"), 409, "conflict");
  const gone = await browser.go(`${gateway.url}/auth/identities/${items[0].identity_id}`, { method: "DELETE", headers: ours });
  assert.equal(gone.status, 204);
  assert.equal(user.email, "linda@elsewhere.example");
});

test("a token that a client brings", async () => {
  const [good, others] = [await idToken(CLIENT, "bob"), await idToken({ client_id: "another", client_secret: "of-another" }, "bob")];
  await refused(await post("/auth/oidc-token", { id_token: others }), 401, "invalid_id_token");
  await refused(await post("/auth/oidc-token", { id_token: good.replace(/.$/, good.endsWith("A") ? "B" : "A") }), 401, "invalid_id_token");
  const answer = await post("/auth/oidc-token", { id_token: good });
  const { session, user } = await answer.json();
  assert.deepEqual([answer.status, user.email], [200, "bob@example.com"]);
  assert.ok(session.token.startsWith("tps_"));
  await refused(await post("/auth/oidc-token", { id_token: good }), 400, "sign_in_used");
});

/** An ID token that a client of the issuer got by itself. */
async function idToken(client, as) {
  const verifier = randomBytes(32).toString("base64url");
  const browser = new Browser();
  browser.stops = (url) => url.startsWith(NATIVE);
  const query = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: NATIVE,
    response_type: "code",
    scope: "openid email",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const { location } = await browser.signIn(`${login.url}/auth?${query}`, as);
  const code = new URL(location).searchParams.get("code");
  const body = new URLSearchParams({ grant_type: "authorization_code", code, redirect_uri: NATIVE, code_verifier: verifier });
  const pair = Buffer.from(`${client.client_id}:${client.client_secret}`).toString("base64");
  const answer = await fetch(`${login.url}/token`, { method: "POST", body, headers: { authorization: `Basic ${pair}` } });
  return (await answer.json()).id_token;
}
