// Debian's Chromium, driven by Playwright, with its own empty profile. It asks nobody but the gateway.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

import { start } from "./gateway.mjs";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");
const IMAGES = join(ROOT, "docs/images");
const PLACES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const QUIET = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
];

/** The browser; close it at the end. */
export function browser() {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (!executablePath) throw new Error("no Chromium: apt-get install chromium, or set CHROMIUM");
  return chromium.launch({ executablePath, args: QUIET });
}

/** For the tests of a file: a gateway and a browser, which `set` is given before them; ended after them. */
export function stage(set) {
  const on = {};
  before(async () => {
    on.gateway = await start();
    on.browser = await browser();
    await set(on);
  });
  after(async () => {
    await on.browser?.close();
    await on.gateway?.stop();
  });
}

/** A browser of somebody else's, with nobody signed in. */
export async function stranger(browser) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB" });
  return context.newPage();
}

/** What axe finds serious on a page. */
export async function serious(page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const bad = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return bad.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(" | ")}`);
}

/** A page of its own, signed in, at a window of this width. Whatever the pages' policy stops fails the test. */
export async function signedIn(browser, gateway, { email = "ada@example.com", password = "correct horse battery", ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 }, timezoneId: "Europe/Brussels", locale: "en-GB", reducedMotion: "reduce", ...options,
  });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (line) => {
    if (line.type() === "error" && !/status of (401|403|404|412|422)/.test(line.text())) page.troubles.push(line.text());
  });
  await page.goto(`${gateway.url}/app/sign-in`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL((url) => !url.pathname.endsWith("/sign-in"));
  return page;
}

const LOOKS = [
  ["", 1440, "light"], ["-dark", 1440, "dark"], ["-narrow", 390, "light"], ["-narrow-dark", 390, "dark"],
];

/**
 * Shows a page light and dark, wide and narrow, and gives what is wrong with it: what is wider than its window, and what
 * axe finds serious. With UPDATE=1 its pictures are written into docs/images.
 */
export async function looked_at(page, name) {
  const wrong = [];
  if (process.env.UPDATE) await mkdir(IMAGES, { recursive: true });
  for (const [suffix, width, colorScheme] of LOOKS) {
    await page.setViewportSize({ width, height: width > 600 ? 900 : 844 });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(() => document.fonts.ready);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (over > 0) wrong.push(`${name} is ${over} px too wide at ${width}`);
    if (process.env.UPDATE) await page.screenshot({ path: join(IMAGES, `${name}${suffix}.png`) });
    for (const one of await serious(page)) wrong.push(`${name}${suffix}: ${one}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  return wrong;
}
