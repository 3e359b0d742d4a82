// A pipeline in the browser: what is wrong is told while it is written, what it would change and would have done with past
// calls before it is saved; then it is saved, and rolled back.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { serious, signedIn, stage } from "./browser.mjs";
import { completion } from "./gateway.mjs";

let gateway, page;
stage(async (on) => {
  ({ gateway } = on);
  gateway.provider.will({ body: completion("Done.") });
  page = await signedIn(on.browser, gateway);
});

const write = (text) => page.getByLabel("Text, as YAML").fill(text);
const says = (selector, text) => page.locator(selector).filter({ hasText: text }).waitFor();
const STRICTER = "preset: starter\noverrides:\n  pii: {on_detection: block}\n";

async function nothingSerious() {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await serious(page), [], `${page.url()}, ${colorScheme}`);
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

  test("is changed by forms, which write the text", async () => {
    await write("preset: starter\noverrides:\n  # why\n  pii: {on_detection: block} # ours\n");
    const text = () => page.locator("#text").inputValue();
    const form = (step) => page.locator(`#by-form [data-step="${step}"]`);
    const until = async (pattern) => {
      await page.waitForFunction(([source]) => new RegExp(source).test(document.querySelector("#text").value), [pattern.source]);
    };
    await page.getByLabel("Find a step").fill("injection");
    await form("detect_pii").waitFor({ state: "hidden" });
    await form("detect_injection").locator("summary").press("Enter");
    await form("detect_injection").getByLabel("threshold", { exact: true }).fill("0.9");
    await form("detect_injection").getByLabel("threshold", { exact: true }).press("Tab");
    await until(/detect_injection:\n {4}threshold: 0\.9/);
    await says("#check", "threshold: 0.8 → 0.9");
    assert.match(await text(), /# why\n {2}pii: \{on_detection: block\} # ours/, "the rest stays as it was written");
    // A line with a comment behind it is its author's.
    await page.getByLabel("Find a step").fill("");
    await form("detect_pii").locator("summary").click();
    assert.equal(await form("detect_pii").getByLabel("on_detection").inputValue(), "block");
    await form("detect_pii").getByLabel("on_detection").selectOption("redact");
    await says(".toast", "change the text");
    assert.equal(await form("detect_pii").getByLabel("on_detection").inputValue(), "block");
    await write("preset: starter\noverrides:\n  pii: {on_detection: block}\n");
    await says("#check", "on_detection: log → block");
    await form("detect_pii").getByLabel("on_detection").selectOption("redact");
    await until(/pii: \{on_detection: redact\}/);
    await form("detect_pii").getByLabel("ignore_kinds").fill("PERSON, EMAIL");
    await form("detect_pii").getByLabel("ignore_kinds").press("Tab");
    await until(/ignore_kinds: \["PERSON","EMAIL"\]/);
    await form("budget").locator("summary").click();
    await form("budget").getByLabel("enabled").check();
    await until(/budget:\n {4}enabled: true/);
    await says("#check", "runs");
    // What is not valid has no steps to change.
    await write("preset: starter\noverrides:\n  detect_pi: {}\n");
    await says("#by-form-said", "has to be valid");
    await write("preset: starter\noverrides:\n  pii: {on_detection: block}\n  rate_limit: {max_calls: 5}\n");
    await says("#check", "max_calls: 100 → 5");
    await form("rate_limit").locator("summary").click();
    await form("rate_limit").getByRole("button", { name: "As its preset has it" }).click();
    await page.waitForFunction(() => !document.querySelector("#text").value.includes("rate_limit"));
    await nothingSerious();
    assert.equal(await text(), STRICTER);
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
