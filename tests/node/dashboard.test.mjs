// The dashboard in a real browser, as the CISO of a pilot goes through it: first agent, first call seen as it comes, an
// approval by keyboard, a blocked call with its explanation, the export, which a separate verifier proves. Then what
// agents may send that is hostile, and whether the pages can be used by everyone (axe).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { serious, signedIn, stage } from "./browser.mjs";
import { completion, SECRET } from "./gateway.mjs";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");
const POLICY = "preset: standard\noverrides:\n  require_approval: {enabled: true, when: [{tool: \"pay_*\"}]}\n";

let gateway, browser, page;
stage(async (on) => {
  ({ gateway, browser } = on);
  gateway.provider.will({ body: completion("Done.") });
  page = await signedIn(browser, gateway);
});

/** A model call of an agent; gives the answer's status and body. */
async function call(key, content, more = {}) {
  const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...more },
    body: JSON.stringify({ model: "openai/gpt-4o-mini", messages: [{ role: "user", content }] }),
  });
  return { status: answer.status, body: await answer.json() };
}

async function text(selector) {
  return (await page.locator(selector).allInnerTexts()).join("\n");
}

/** Waits until what a page says holds. */
async function until(what, holds) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    if (await holds()) return;
    if (Date.now() > deadline) assert.fail(`in 15 s not: ${what}`);
    await new Promise((resolved) => setTimeout(resolved, 100));
  }
}

describe("a pilot, in the browser", () => {
  let key;

  test("the first agent is registered, and its key is shown once", async () => {
    await page.goto(`${gateway.url}/app/agents`);
    await page.getByRole("button", { name: "Register the first agent" }).click();
    await page.getByLabel("Id", { exact: true }).fill("claims-processor");
    await page.getByLabel("Pipeline").selectOption("standard");
    await page.getByRole("button", { name: "Register", exact: true }).click();
    await page.locator("#registered[open]").waitFor();
    key = await page.locator("#new-key").innerText();
    assert.match(key, /^tp_[A-Za-z0-9_-]{40,}$/);
    await page.getByRole("link", { name: "Done" }).click();
    await page.getByRole("link", { name: "claims-processor" }).waitFor();
    assert.ok(!(await page.content()).includes(key), "it is not shown again");
  });

  test("its first call is seen as it comes, and the feed can be paused", async () => {
    await page.goto(`${gateway.url}/app/audit`);
    await page.locator('#fresh[data-live-state="on"]').waitFor({ state: "attached" });
    assert.equal((await call(key, "Hello")).status, 200);
    await page.locator(".rows a.row", { hasText: "passed" }).first().waitFor();
    // More often than a browser has connections for one address.
    for (let more = 2; more <= 9; more += 1) {
      assert.equal((await call(key, `Hello again, ${more}`)).status, 200);
      await until(`${more} calls are seen`, async () => (await page.locator(".rows a.row", { hasText: "passed" }).count()) >= more);
    }
    await page.keyboard.press("p");
    await page.locator('#fresh[data-live-state="paused"]').waitFor({ state: "attached" });
    assert.equal((await call(key, `push with ${SECRET}`)).status, 200);
    const said = await gateway.ask("GET", "/audit?event_type=llm_call&limit=1");
    const row = page.locator(`#e-${said.items[0].event_id}`);
    assert.equal(await row.count(), 0, "paused");
    await page.keyboard.press("p");
    await row.waitFor();
    assert.match(await row.innerText(), /would block/);
    assert.ok(!(await page.content()).includes(SECRET));
  });

  test("filters live in the address, and survive the way back", async () => {
    await page.getByLabel("What happened").selectOption("agent_registered");
    await page.waitForURL(/event_type=agent_registered/);
    await until("one row", async () => (await page.locator(".rows a.row").count()) === 1);
    await page.reload();
    assert.equal(await page.getByLabel("What happened").inputValue(), "agent_registered");
    assert.equal(await page.locator(".rows a.row").count(), 1);
  });

  test("rows are walked by keyboard", async () => {
    await page.goto(`${gateway.url}/app/audit?event_type=llm_call`);
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const second = await page.locator(".rows a.row").nth(1).getAttribute("id");
    assert.equal(await page.evaluate(() => document.activeElement.id), second);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/app\/calls\//);
  });

  test("the review: a false alarm goes on the allowlist, and the agent is enforced", async () => {
    const innocent = "anna.router@example.org";
    assert.equal((await call(key, `Write to ${innocent} about the claim.`)).status, 200);
    await page.goto(`${gateway.url}/app/readiness?agent_id=claims-processor`);
    const examples = (kind) => page.locator("section.rule", { hasText: kind }).locator(".example");
    await until("both are among the figures", async () => {
      if ((await examples("EMAIL").count()) > 0 && (await examples("GITHUB_TOKEN").count()) > 0) return true;
      await page.reload();
      return false;
    });
    await examples("GITHUB_TOKEN").first().focus();
    await page.keyboard.press("r");
    await examples("GITHUB_TOKEN").locator(".chip", { hasText: "right" }).waitFor();
    await examples("EMAIL").first().focus();
    await page.keyboard.press("f");
    await examples("EMAIL").locator(".chip", { hasText: "false alarm" }).waitFor();
    await examples("EMAIL").locator("summary").click();
    await page.getByLabel("The text").fill(innocent);
    await page.getByRole("button", { name: "Add to the allowlist" }).click();
    await page.getByText("On the allowlist: it is no hit any more.").waitFor();
    await page.getByRole("button", { name: "Enforce now" }).click();
    assert.match(await text("dialog[open]"), /2 refused .* of 11 calls/);
    await page.locator("dialog[open]").getByRole("button", { name: "Enforce now" }).click();
    await page.getByRole("heading", { name: "claims-processor is enforced" }).waitFor();
    assert.equal((await call(key, `Write to ${innocent} about the claim.`)).status, 200);
    const agent = await gateway.ask("GET", "/agents/claims-processor");
    assert.deepEqual([agent.mode, agent.floor], ["enforce", "enforce"]);
  });

  test("a blocked call explains itself", async () => {
    const blocked = await call(key, `push with ${SECRET}`);
    assert.equal(blocked.status, 403);
    await page.goto(`${gateway.url}/app/calls/${blocked.body.task_id}`);
    const shown = await text("main");
    for (const said of ["Blocked by detect_secrets", "GITHUB_TOKEN", "What would have changed it", "the text on the allowlist", "µs"]) {
      assert.ok(shown.includes(said), said);
    }
    for (const word of ["identify", "admit", "forward", "examine", "conclude", "export"]) {
      assert.equal(await page.getByRole("heading", { name: word, exact: true, level: 2 }).count(), 1, word);
    }
    await page.getByLabel(/that did not run/).check();
    assert.match(await text(".steps"), /not run: detect_secrets blocked the call/);
    assert.ok(!(await page.content()).includes(SECRET));
  });

  test("an approval is given by keyboard, and the agent goes on", async () => {
    await gateway.ask("PUT", "/pipelines/claims", undefined, POLICY);
    await gateway.ask("PATCH", "/agents/claims-processor", { pipeline: "claims", approvals: true });
    const ask = (amount) =>
      fetch(`${gateway.url}/v1/govern`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ type: "TOOL_CALL", payload: { tool: "pay_invoice", args: { amount, to: "hail & sons" } } }),
      }).then((answer) => answer.json());
    await page.goto(`${gateway.url}/app/approvals`);
    await page.locator('#inbox[data-live-state="on"]').waitFor({ state: "attached" });
    assert.equal((await ask(180)).outcome, "needs_approval");
    await page.locator(".question").waitFor();
    assert.match(await text(".question"), /"amount": 180/);
    await page.keyboard.press("a");
    assert.equal(await page.locator("dialog[open]").count(), 0, "no row has the focus");
    await page.keyboard.press("j");
    await page.keyboard.press("a");
    await page.keyboard.press("Enter");
    await page.locator("td", { hasText: "approved" }).waitFor();
    assert.equal((await ask(180)).outcome, "allow");

    assert.equal((await ask(2400)).outcome, "needs_approval");
    await page.locator(".question").waitFor();
    const changes = await text(".versus");
    assert.match(changes, /\/arguments\/amount\s+180\s+2400/);
    await page.getByPlaceholder("Reason, which the agent is told").fill("Too much.");
    await page.getByRole("button", { name: "Deny" }).click();
    await page.locator("dialog[open]").getByRole("button", { name: "Deny" }).click();
    await page.locator("td", { hasText: "denied" }).waitFor();
    const told = await ask(2400);
    assert.equal(told.outcome, "block");
    assert.match(JSON.stringify(told), /Too much\./);
  });

  test("the log is verified, exported, and the export proven by another program", async () => {
    await page.goto(`${gateway.url}/app/audit`);
    await page.getByRole("button", { name: "Verify" }).click();
    await page.locator("#verified[open]").waitFor();
    assert.equal(await page.locator('#verified [data-out="ok"]').innerText(), "true");
    await page.locator("#verified [data-close]").click();
    await page.getByRole("button", { name: "Export" }).click();
    const coming = page.waitForEvent("download");
    await page.getByRole("link", { name: "JSON with its proof" }).click();
    const file = await (await coming).path();
    const verifier = join(ROOT, "tools/verify_audit.py");
    const said = execFileSync("python3", [verifier, file], { encoding: "utf8" });
    assert.match(said, /ok|whole|valid/i);
  });

  test("stopped is stopped", async () => {
    await page.goto(`${gateway.url}/app/agents/claims-processor`);
    await page.getByRole("button", { name: "Stop this agent" }).click();
    await page.locator("dialog[open]").getByRole("button", { name: "Suspend" }).click();
    await page.getByText("Each of its calls is refused").waitFor();
    assert.equal((await call(key, "Hello")).status, 403);
  });

  test("nothing went wrong in the browser", () => assert.deepEqual(page.troubles, []));
});

describe("who may not, does not see", () => {
  test("without a session one is sent to sign in, and back", async () => {
    const context = await browser.newContext();
    const other = await context.newPage();
    await other.goto(`${gateway.url}/app/audit?action=block`);
    assert.match(other.url(), /\/app\/sign-in\?next=/);
    await other.getByLabel("E-mail address").fill("ada@example.com");
    await other.getByLabel("Password", { exact: true }).fill("wrong password!");
    await other.getByRole("button", { name: "Sign in", exact: true }).click();
    await other.getByRole("alert").waitFor();
    await other.getByLabel("Password", { exact: true }).fill("correct horse battery");
    await other.getByRole("button", { name: "Sign in", exact: true }).click();
    await other.waitForURL(/\/app\/audit\?action=block$/);
    await context.close();
  });

  test("an auditor reads and has nothing to press", async () => {
    const invited = await gateway.ask("POST", "/invitations", { email: "eve@example.com", role: "auditor" });
    const accepted = { token: invited.token, password: "another horse battery" };
    await gateway.ask("POST", "/auth/invitations/accept", accepted);
    const eve = await signedIn(browser, gateway, { email: "eve@example.com", password: accepted.password });
    await eve.goto(`${gateway.url}/app/agents/claims-processor`);
    assert.equal(await eve.getByRole("button", { name: /Save|Stop|Rotate|Revoke|Remove/ }).count(), 0);
    assert.equal(await eve.getByRole("link", { name: "Approvals" }).count(), 0);
    const answer = await eve.goto(`${gateway.url}/app/approvals`);
    assert.equal(answer.status(), 403);
    assert.match(await eve.content(), /Not for your role/);
    await eve.context().close();
  });
});

// What agents, users, models and tools may say. All of it is text.
const HOSTILE = [
  "<script>window.hit = 1</script>",
  '"><img src=x onerror="window.hit = 1">',
  "![x](https://attacker.example/?q=1)",
  "\u202egnihtemos\u202c \u2066hidden\u2069",
  "\u001b[31mred\u001b[0m",
  "{{7*7}} ${7*7} <%= 7*7 %>",
];

describe("what is hostile is text", () => {
  test("in every field that comes from outside", async () => {
    const outside = [];
    await page.context().route("**/*", (route) => {
      if (!route.request().url().startsWith(gateway.url)) outside.push(route.request().url());
      return route.continue();
    });
    const pages = new Set();
    for (const [at, text] of HOSTILE.entries()) {
      const printable = text.replace(/[\u0000-\u001f]/g, "");
      const id = `hostile-${at}`;
      const agent = await gateway.ask("POST", "/agents/register", {
        agent_id: id, name: printable, description: printable, framework: printable, preset: "standard",
      });
      // A header's value is one line of visible characters.
      const header = /^[\x20-\x7e]*$/.test(text) ? { "x-tappass-user": text, "x-tappass-session": text } : {};
      const answer = await call(agent.api_key, `${text} ${SECRET}`, header);
      assert.ok([200, 400, 422].includes(answer.status), JSON.stringify(answer.body));
      await fetch(`${gateway.url}/v1/govern`, {
        method: "POST",
        headers: { authorization: `Bearer ${agent.api_key}`, "content-type": "application/json" },
        body: JSON.stringify({ type: "TOOL_CALL", payload: { tool: text, args: { [text]: text } } }),
      });
      const log = await gateway.ask("GET", `/audit?agent_id=${id}&limit=10`);
      for (const event of log.items) pages.add(`/app/calls/${event.event_id}`);
      for (const path of [`/app/agents/${id}`, `/app/audit?agent_id=${id}`]) pages.add(path);
    }
    const long = await gateway.ask("POST", "/agents/register", { agent_id: "l".repeat(60), name: "n".repeat(200), preset: "standard" });
    await call(long.api_key, "a".repeat(1_000_000));
    for (const path of ["/app/agents", "/app/audit", `/app/agents/${"l".repeat(60)}`]) pages.add(path);
    for (const path of pages) {
      await page.goto(gateway.url + path);
      assert.equal(await page.evaluate(() => window.hit), undefined, path);
      assert.equal(await page.locator("main img").count(), 0, path);
      assert.equal(await page.locator("main script").count(), 0, path);
      for (const width of [1440, 390]) {
        await page.setViewportSize({ width, height: 900 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${path} is ${over} px too wide at ${width}`);
      }
      await page.setViewportSize({ width: 1440, height: 900 });
    }
    assert.deepEqual(outside, []);
    assert.deepEqual(page.troubles, []);
  });
});

describe("everyone can use it", () => {
  test("axe finds nothing serious, in light and dark", async () => {
    const last = await gateway.ask("GET", "/audit?event_type=llm_call&limit=1");
    const paths = [
      "/app/sign-in", "/app/audit", `/app/calls/${last.items[0].event_id}`, "/app/approvals", "/app/agents",
      "/app/agents/claims-processor", "/app/tools", "/app/status", "/app/nothing",
    ];
    const told = [];
    for (const path of paths) {
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await page.goto(gateway.url + path);
        for (const one of await serious(page)) told.push(`${path}, ${colorScheme}: ${one}`);
      }
    }
    assert.deepEqual(told, []);
    await page.emulateMedia({ colorScheme: "light" });
  });
});
