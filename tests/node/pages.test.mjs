// Every page of the dashboard over the demo's week: nothing wider than its window, nothing that fails in the browser,
// nothing serious for axe, light and dark, at 1440 and 390 pixels. With UPDATE=1 their pictures are written into
// docs/images.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { browser as start_browser, looked_at, signedIn } from "./browser.mjs";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");

let demo, url, browser, page, agent;
before(async () => {
  execFileSync("cargo", ["build", "--locked", "--quiet", "-p", "tappass"], { cwd: ROOT, stdio: "inherit" });
  const program = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/tappass");
  demo = spawn(program, ["demo", "--port", "0", "--still"], { stdio: ["ignore", "pipe", "ignore"] });
  const told = {};
  for await (const line of createInterface({ input: demo.stdout })) {
    const [, name, value] = /^\s+(open|e-mail|password|an agent)\s+(\S+)/.exec(line.replace(/\u001b\[\d*m/g, "")) ?? [];
    if (name) told[name] = value;
    if (name === "an agent") break;
  }
  url = told.open.replace(/\/app$/, "");
  agent = told["an agent"].replace(/,$/, "");
  browser = await start_browser();
  page = await signedIn(browser, { url }, { email: told["e-mail"], password: told.password });
});
after(async () => {
  await browser?.close();
  if (demo?.kill("SIGTERM")) await once(demo, "exit");
});

/** What the API says, as the person who is signed in. */
const ask = (path) => page.evaluate(async (path) => (await fetch(path)).json(), path);

test("every page, in every look", async () => {
  const [blocked] = (await ask("/audit?event_type=llm_call_blocked&limit=1")).items;
  const pipelines = (await ask("/pipelines?limit=100")).items;
  const pages = {
    overview: "/app",
    readiness: "/app/readiness",
    audit: "/app/audit",
    call: `/app/calls/${blocked.event_id}`,
    sessions: "/app/sessions",
    session: `/app/sessions/${encodeURIComponent(blocked.session_id)}`,
    approvals: "/app/approvals",
    agents: "/app/agents",
    agent: `/app/agents/${agent}`,
    pipelines: "/app/pipelines",
    pipeline: `/app/pipelines/${(pipelines.find((one) => !one.builtin) ?? pipelines[0]).name}`,
    tools: "/app/tools",
    credentials: "/app/credentials",
    people: "/app/people",
    settings: "/app/settings",
    status: "/app/status",
    account: "/app/account",
  };
  const wrong = [];
  for (const [name, path] of Object.entries(pages)) {
    const answer = await page.goto(url + path);
    if (answer.status() !== 200) wrong.push(`${path}: ${answer.status()}`);
    wrong.push(...(await looked_at(page, name)));
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(page.troubles, []);
});

test("figures are compared with the week before, and hours told where one is", async () => {
  const { comparable, before, totals, new: news } = await ask("/insight/overview?window=7d");
  assert.ok(comparable && before.calls > totals.calls / 2, `${before.calls} before, ${totals.calls} now`);
  assert.deepEqual(news.agents, ["research-agent"]);
  await page.goto(`${url}/app?window=24h`);
  assert.equal(await page.locator("[data-zone]").innerText(), "Europe/Brussels");
  const bars = await page.locator("svg.chart").first().locator("g[data-at]").evaluateAll((all) =>
    all.map((bar) => [bar.dataset.at, bar.querySelector("title").textContent.split("\n")[0], bar.querySelector("text").textContent]));
  for (const [at, said, label] of bars) {
    const hour = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Brussels", hour: "2-digit", hourCycle: "h23" }).format(new Date(at));
    assert.ok(said.endsWith(`, ${hour}:00`), `${at} is ${said}`);
    assert.equal(label, Number(hour) % 3 === 0 ? `${hour}:00` : "");
  }
});

test("the door", async () => {
  const context = await browser.newContext();
  const other = await context.newPage();
  await other.goto(`${url}/app/sign-in`);
  assert.deepEqual(await looked_at(other, "sign-in"), []);
  await context.close();
});
