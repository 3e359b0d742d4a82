// A pipeline in the browser: what is wrong is told while it is written, what it would change and would have done with past
// calls before it is saved; then it is saved, and rolled back.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";

import { browser as start_browser, signedIn } from "./browser.mjs";
import { completion, start } from "./gateway.mjs";

let gateway, browser, page;
before(async () => {
  gateway = await start();
  gateway.provider.will({ body: completion("Done.") });
  browser = await start_browser();
  page = await signedIn(browser, gateway);
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

const write = (text) => page.getByLabel("Text, as YAML").fill(text);
const says = (selector, text) => page.locator(selector).filter({ hasText: text }).waitFor();
const STRICTER = "preset: starter\noverrides:\n  pii: {on_detection: block}\n";

async function nothingSerious() {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const found = await new AxeBuilder({ page }).analyze();
    const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
    assert.deepEqual(serious.map((one) => `${one.id}: ${one.nodes[0].html}`), [], `${page.url()}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

describe("a pipeline of one's own", () => {
  test("is made on a preset", async () => {
    await page.goto(`${gateway.url}/app/pipelines`);
    await nothingSerious();
    await page.getByRole("button", { name: "New pipeline" }).click();
    await page.getByLabel("Name", { exact: true }).fill("claims");
    await page.getByLabel("Built on").selectOption("starter");
    await page.getByRole("button", { name: "Make it" }).click();
    await page.waitForURL(/\/app\/pipelines\/claims\?tab=edit/);
  });

  test("is checked while it is written", async () => {
    await write("preset: starter\noverrides:\n  detect_pi: {}\n");
    await says("#check", "did you mean detect_pii?");
    assert.equal(await page.getByRole("button", { name: /Save/ }).isDisabled(), true);
    assert.equal((await page.locator(".gutter .wrong").innerText()).trim(), "3");
    await page.getByRole("button", { name: "line 3, column 3" }).click();
    assert.equal(await page.locator("#text").evaluate((text) => text.value.slice(text.selectionStart)), "detect_pi: {}\n");
    await write(STRICTER);
    await says("#check", "on_detection: log → block");
  });

  test("is tried on past calls before it is saved", async () => {
    await page.getByRole("button", { name: "Try it on recent traffic" }).click();
    await says("#tried", "PUT /settings/payloads");
    await gateway.ask("PUT", "/settings/payloads", { keep_days: 7 });
    const agent = await gateway.register();
    const messages = [{ role: "user", content: "Mail <b>joan</b>@example.org: joan.smith@example.org" }];
    const headers = { authorization: `Bearer ${agent.api_key}`, "content-type": "application/json" };
    const call = { method: "POST", headers, body: JSON.stringify({ model: "openai/gpt-4o-mini", messages }) };
    assert.equal((await fetch(`${gateway.url}/v1/chat/completions`, call)).status, 200);
    const deadline = Date.now() + 15_000;
    while ((await gateway.ask("GET", "/settings/payloads")).kept === 0) assert.ok(Date.now() < deadline, "it is kept");
    await page.getByRole("button", { name: "Try it on recent traffic" }).click();
    await says("#tried", "1 newly blocked");
    await page.locator("#tried summary").click();
    await says("#tried li", "personal data in the request");
    assert.doesNotMatch(await page.locator("#tried").innerText(), /joan\.smith@example/);
    await nothingSerious();
  });

  test("is saved over the version that was looked at, and no other", async () => {
    await gateway.ask("PUT", "/pipelines/claims", undefined, "preset: starter\ndescription: somebody else's\n");
    await page.getByRole("button", { name: "Save as version 2" }).click();
    await page.locator(".form-error:not([hidden])").first().waitFor();
    await page.reload();
    await write(STRICTER);
    await page.getByRole("button", { name: "Save as version 3" }).click();
    await page.waitForURL(/\/app\/pipelines\/claims$/);
    await page.locator("#step-detect_pii > summary").click();
    await says("#step-detect_pii", "What it does");
    await nothingSerious();
  });

  test("is rolled back", async () => {
    await page.goto(`${gateway.url}/app/pipelines/claims?tab=versions&version=1`);
    await says("main", "on_detection: block → log");
    await nothingSerious();
    await page.getByRole("button", { name: "Roll back to it" }).click();
    await page.getByRole("button", { name: "Roll back", exact: true }).click();
    await says("td", "governs");
    await page.waitForFunction(() => document.querySelector("tbody strong").textContent === "4");
    const now = await gateway.ask("GET", "/pipelines/claims");
    assert.equal(now.steps.find((step) => step.id === "detect_pii").parameters.on_detection, "log");
  });

  test("went through without anything against the pages' policy", () => {
    assert.deepEqual(page.troubles, []);
  });
});
