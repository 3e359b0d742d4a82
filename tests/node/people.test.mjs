// The pages for people, in a real browser: an organisation is made, a second factor set up and asked for, somebody invited,
// given another role, let in anew by a link; settings and credentials are changed; who may not, does not see.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";

import { looked_at, serious, signedIn, stage, stranger } from "./browser.mjs";

const PASSWORD = "correct horse battery";
const LONG = "a-very-long-name-of-somebody-who-has-many-of-them.and-then-some@department-of-long-names.client.example";

let gateway, browser, page;
stage((on) => ({ gateway, browser } = on));

/** What an authenticator app shows, `ahead` half minutes from now (RFC 6238). */
function code(secret, ahead = 0) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const tag = createHmac("sha1", key).update(step).digest();
  return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const elsewhere = () => stranger(browser);

const says = (text, at = page) => at.getByText(text).first().waitFor();
const picture = async (name) => assert.deepEqual(await looked_at(page, name), []);

const nothing_serious = async (what) => assert.deepEqual(await serious(page), [], what);

describe("people, in the browser", () => {
  let secret, invitation;

  test("who has no session is asked to sign in, and can make an organisation", async () => {
    page = await elsewhere();
    await page.goto(`${gateway.url}/app/account`);
    await page.waitForURL(/sign-in\?next=/);
    await nothing_serious("sign-in");
    await picture("sign-in");
    await page.getByRole("link", { name: "Make an organisation" }).click();
    await page.getByLabel("The organisation's name").fill("Hail & <b>Sons</b>");
    await page.getByLabel("Your e-mail address").fill("owner@client.example");
    await page.getByLabel("A password").fill(PASSWORD);
    await nothing_serious("sign-up");
    await page.getByRole("button", { name: "Make it" }).click();
    await page.waitForURL(`${gateway.url}/app`);
    await page.goto(`${gateway.url}/app/account`);
    assert.equal(await page.locator(".org .clip").innerText(), "Hail & <b>Sons</b>");
  });

  test("a second factor is set up with an app, and asked for", async () => {
    page = await signedIn(browser, gateway);
    await page.goto(`${gateway.url}/app/account`);
    await page.getByRole("button", { name: "Set one up" }).click();
    await page.locator("#enrol-password").fill(PASSWORD);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.locator("#scan[open]").waitFor();
    secret = await page.locator("#secret").innerText();
    assert.ok(await page.locator("img.qr").evaluate((image) => image.decode().then(() => image.naturalWidth > 100)));
    await picture("account-second-factor");
    await page.getByLabel("The code that it shows").fill(code(secret));
    await page.getByRole("button", { name: "Confirm" }).click();
    await page.locator("#codes[open]").waitFor();
    const had = (await page.locator("#recovery").innerText()).trim();
    assert.equal(had.split("\n").length, 10);
    await page.getByRole("link", { name: "I have kept them" }).click();
    await says("of your recovery codes are left");
    assert.ok(!(await page.content()).includes(secret), "it is not shown again");

    await page.getByRole("button", { name: "New recovery codes" }).click();
    await page.locator("#renew-password").fill(PASSWORD);
    await page.getByRole("button", { name: "Get new ones" }).click();
    await page.locator("#codes[open]").waitFor();
    const renewed = (await page.locator("#recovery").innerText()).trim();
    assert.equal(renewed.split("\n").length, 10);
    assert.notEqual(renewed, had);
    await page.getByRole("link", { name: "I have kept them" }).click();
    await says("of your recovery codes are left");

    const other = await elsewhere();
    await other.goto(`${gateway.url}/app/sign-in?next=%2Fapp%2Faccount`);
    await other.getByLabel("E-mail address").fill("ada@example.com");
    await other.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await other.getByRole("button", { name: "Sign in", exact: true }).click();
    await other.getByLabel("Code of your second factor").fill(code(secret, 1));
    await other.getByRole("button", { name: "Sign in", exact: true }).click();
    await other.waitForURL(`${gateway.url}/app/account`);
    assert.deepEqual(page.troubles, []);
  });

  test("sessions are ended, tokens are made once and revoked", async () => {
    await page.reload();
    await nothing_serious("account");
    await picture("account");
    const before = await page.getByRole("button", { name: "End", exact: true }).count();
    assert.ok(before > 0);
    await page.getByRole("button", { name: "End", exact: true }).last().click();
    await says("The session has ended.");
    assert.equal(await page.getByRole("button", { name: "End", exact: true }).count(), before - 1);
    await page.getByRole("button", { name: "New token" }).click();
    await page.getByLabel("What it is for").fill("nightly report");
    await page.getByLabel("The most it may do").selectOption("auditor");
    await page.getByRole("button", { name: "Make it" }).last().click();
    await page.locator("#token-made[open]").waitFor();
    const token = await page.locator("#token-text").innerText();
    const me = await fetch(`${gateway.url}/auth/me`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await me.json()).role, "auditor");
    await page.getByRole("link", { name: "Done" }).click();
    await says("nightly report");
    assert.ok(!(await page.content()).includes(token));
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.locator("dialog[open] .primary").click();
    await says("The token is revoked.");
    const gone = await fetch(`${gateway.url}/auth/me`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(gone.status, 401);
  });

  test("somebody is invited by a link, which lets them in once", async () => {
    await page.goto(`${gateway.url}/app/people`);
    await page.getByRole("button", { name: "Invite someone" }).click();
    await page.getByLabel("E-mail address").fill(LONG);
    await page.getByLabel("As", { exact: true }).selectOption("auditor");
    await page.getByRole("button", { name: "Invite", exact: true }).click();
    await page.locator("#invited[open]").waitFor();
    invitation = await page.locator("#invite-link").innerText();
    assert.match(invitation, /\/app\/invitation#tpi_/);
    assert.ok(await page.getByText("The link is on its way").isHidden(), "this gateway sends no mail");
    await page.getByRole("link", { name: "Done" }).click();
    await says(LONG);
    await nothing_serious("people");
    await picture("people");

    const guest = await elsewhere();
    const asked = [];
    guest.on("request", (request) => asked.push(request.url() + (request.headers().referer ?? "")));
    await guest.goto(invitation.replace(/^https?:\/\/[^/]+/, gateway.url));
    await guest.waitForFunction(() => location.hash === "");
    await guest.getByLabel("Password").fill("a password for the guest");
    await guest.getByRole("button", { name: "Accept and sign in" }).click();
    await guest.waitForURL(`${gateway.url}/app`);
    assert.ok(!asked.join(" ").includes("tpi_"), "the token stands in no address that is asked for");
    await guest.goto(`${gateway.url}/app/people`);
    assert.equal(await guest.getByRole("button", { name: "Invite someone" }).count(), 0, "an auditor changes nothing");
    assert.equal(await guest.locator("main a[href^='/app/people/']").count(), 0);
    await guest.goto(`${gateway.url}/app/settings`);
    assert.equal(await guest.locator("main form").count(), 0);
    await guest.goto(`${gateway.url}/app/credentials`);
    assert.equal(await guest.locator("main form").count(), 0);
  });

  test("a role is changed; the last who governs stays", async () => {
    await page.goto(`${gateway.url}/app/people`);
    await page.getByRole("link", { name: LONG }).click();
    await page.getByLabel("Role").selectOption("developer");
    await page.getByRole("button", { name: "Save" }).click();
    await says("The role holds with their next request.");
    await says("developer of Example");
    await nothing_serious("person");
    await picture("person");
    await page.goto(`${gateway.url}/app/people`);
    await page.getByRole("link", { name: "ada@example.com", exact: true }).click();
    await says("Nobody else governs this organisation.");
    assert.equal(await page.getByRole("button", { name: /Remove from/ }).count(), 0);
  });

  test("a link sets a new password, and what was signed in ends", async () => {
    await page.goto(`${gateway.url}/app/people`);
    await page.getByRole("link", { name: LONG }).click();
    await page.getByRole("button", { name: "Make a link" }).click();
    await page.locator("#link[open]").waitFor();
    const link = await page.locator("#reset-link").innerText();
    const guest = await elsewhere();
    await guest.goto(link.replace(/^https?:\/\/[^/]+/, gateway.url));
    await guest.getByLabel("New password").fill("short");
    await guest.getByLabel("New password").fill("another long password");
    await guest.getByRole("button", { name: "Set it" }).click();
    await guest.waitForURL(/sign-in/);
    await says("The password is set. Sign in with it.", guest);
    await guest.getByLabel("E-mail address").fill(LONG);
    await guest.getByLabel("Password", { exact: true }).fill("another long password");
    await guest.getByRole("button", { name: "Sign in", exact: true }).click();
    await guest.waitForURL(`${gateway.url}/app`);
    await guest.goto(`${gateway.url}/app/forgotten`);
    await says("This gateway sends no mail.", guest);
  });

  test("the organisation wants a second factor: who has none reaches their account only", async () => {
    await page.goto(`${gateway.url}/app/settings`);
    await nothing_serious("settings");
    await picture("settings");
    await page.getByLabel(/needs a second factor/).check();
    await page.getByRole("button", { name: "Save" }).first().click();
    await says("Saved.");
    const guest = await elsewhere();
    await guest.goto(`${gateway.url}/app/sign-in`);
    await guest.getByLabel("E-mail address").fill(LONG);
    await guest.getByLabel("Password", { exact: true }).fill("another long password");
    await guest.getByRole("button", { name: "Sign in", exact: true }).click();
    await guest.waitForURL((url) => !url.pathname.endsWith("/sign-in"));
    await guest.goto(`${gateway.url}/app/agents`);
    await guest.waitForURL(`${gateway.url}/app/account`);
    await says("Your organisation wants a second factor of everyone.", guest);
    assert.equal(await page.getByLabel(/needs a second factor/).isChecked(), true);
    await page.getByLabel(/needs a second factor/).uncheck();
    await page.getByRole("button", { name: "Save" }).first().click();
    await says("Saved.");
  });

  test("what is never a hit is added and removed; what calls say is kept for some days", async () => {
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByLabel("The text, whatever its case").fill("Iris <i>Scanner</i>");
    await page.getByLabel("Why").fill("our product");
    await page.locator("#allow").getByRole("button", { name: "Add" }).click();
    await says("Iris <i>Scanner</i>");
    assert.equal((await gateway.ask("GET", "/allowlist")).items[0].text, "Iris <i>Scanner</i>");
    await page.getByRole("button", { name: "Remove" }).click();
    await says("It counts as a hit again.");
    await page.getByLabel("Days; 0: nothing is kept").fill("7");
    await page.getByRole("button", { name: "Save" }).nth(1).click();
    await says("Saved.");
    assert.equal((await gateway.ask("GET", "/settings/payloads")).keep_days, 7);
  });

  test("flags are locked for every agent, and taken back", async () => {
    const agent = await gateway.register();
    const mode = async () => {
      const headers = { authorization: `Bearer ${agent.api_key}`, "content-type": "application/json", "x-tappass-flags": "mode=observe" };
      const body = JSON.stringify({ model: "builtin", messages: [{ role: "user", content: "say: hello" }] });
      return (await (await fetch(`${gateway.url}/v1/chat/completions`, { method: "POST", headers, body })).json()).tappass;
    };
    assert.equal((await mode()).mode, "observe");
    await page.getByLabel("Lock of mode").selectOption("enforce");
    await page.getByLabel("Default of tools").fill("denylist:shell");
    await page.getByRole("button", { name: "Save the flags" }).click();
    await says("Saved. The next call honours it.");
    assert.equal(await page.getByLabel("Lock of mode").inputValue(), "enforce");
    const { mode: held, flags_refused } = await mode();
    assert.deepEqual([held, flags_refused], ["enforce", ["mode=observe"]]);
    assert.deepEqual(await gateway.ask("GET", "/settings/flags"), { locks: { mode: "enforce" }, defaults: { tools: "denylist:shell" }, version: 1 });
    await page.goto(`${gateway.url}/app/agents/${agent.agent_id}`);
    await says("Locked for every agent");
    await page.goto(`${gateway.url}/app/settings`);
    // What cannot be is said, and nothing is saved.
    await page.getByLabel("Lock of email").fill("anywhere");
    await page.getByRole("button", { name: "Save the flags" }).click();
    await says("mirror:<address>, internal:<domain>, block, allow");
    await page.getByLabel("Lock of email").fill("");
    await page.getByLabel("Lock of mode").selectOption("");
    await page.getByLabel("Default of tools").fill("");
    await page.getByRole("button", { name: "Save the flags" }).click();
    await says("Saved. The next call honours it.");
    assert.equal((await mode()).mode, "observe");
    assert.deepEqual((await gateway.ask("GET", "/settings/flags")).locks, {});
    await nothing_serious("settings with flags");
    const { items } = await gateway.ask("GET", "/audit?event_type=config_changed&limit=1");
    assert.equal(items[0].details.setting, "flags");
  });

  test("a credential goes in, and its value never comes out", async () => {
    const key = "sk-own-" + "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR";
    await page.goto(`${gateway.url}/app/credentials`);
    await nothing_serious("credentials");
    await picture("credentials-none");
    await page.getByRole("button", { name: "Set a credential" }).click();
    await page.getByLabel("Provider, or a name of your own").fill("openai");
    await page.getByLabel("Key", { exact: true }).fill(key);
    await page.getByRole("button", { name: "Set", exact: true }).click();
    await says("It is used from the next call on.");
    await page.locator("td", { hasText: "yours" }).waitFor();
    assert.ok(!(await page.content()).includes(key));
    await picture("credentials");
    await page.getByRole("button", { name: "Test", exact: true }).click();
    await page.locator("#tried[open]").waitFor();
    assert.match(await page.locator("#tried").innerText(), /openai:\s*ok\s+it lists 1 models/);
    await nothing_serious("a credential that was tried");
    await page.locator("#tried").getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Remove" }).click();
    await page.locator("dialog[open] .primary").click();
    await says("No credentials of your own");
    assert.deepEqual(page.troubles, []);
  });
});
