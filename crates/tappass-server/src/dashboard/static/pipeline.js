// The editor of a pipeline: what is wrong with the text and what it would change, while it is written; and what it would
// have done with past calls. It asks the API and writes nothing; saving is the form's business.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const { api, localise } = window.tappass;
  const $ = (selector) => document.querySelector(selector);
  const text = $("#text");
  const name = $("[data-pipeline]").dataset.pipeline;
  const saved = text.value;
  const gutter = $(".gutter");

  /** An element; what it holds is text unless it is an element itself. */
  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(key, value);
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }
  const show = (place, ...children) => place.replaceChildren(...children.flat().filter(Boolean));
  const quiet = (words) => el("p", { class: "quiet" }, words);

  // Lines

  let wrong = new Set();
  function numbered() {
    const lines = text.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: lines }, (_, i) =>
      el("span", wrong.has(i + 1) ? { class: "wrong" } : {}, `${i + 1}\n`)));
    gutter.scrollTop = text.scrollTop;
  }
  function goTo(line, column) {
    const before = text.value.split("\n").slice(0, line - 1).join("\n").length;
    const at = line > 1 ? before + column : column - 1;
    text.focus();
    text.setSelectionRange(at, at);
  }

  // The check

  function value(of) {
    if (of === null) return "not set";
    if (Array.isArray(of)) return of.length ? of.map(value).join(", ") : "none";
    if (typeof of === "number") return String(Math.round(of * 1e6) / 1e6);
    return typeof of === "string" ? of : JSON.stringify(of);
  }
  /** Text in which what stands between backticks is code. */
  const ticked = (words) => el("span", {}, words.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part)));
  function change(one) {
    const what = one.parameter ? `${one.parameter}: ${value(one.from)} → ${value(one.to)}` : one.to === null ? "no longer runs" : "runs";
    return el("li", {}, el("code", {}, one.step), " ", el("span", {}, what));
  }
  function finding(one) {
    const chip = el("span", { class: one.severity === "error" ? "chip bad" : "chip warn" }, one.severity);
    const place = one.line ? el("button", { type: "button", class: "quick" }, `line ${one.line}, column ${one.column}`) : null;
    place?.addEventListener("click", () => goTo(one.line, one.column));
    return el("li", {}, chip, " ", place, " ", ticked(one.message));
  }
  let asked = 0;
  async function check() {
    const mine = ++asked;
    const answer = await api("POST", "/pipelines/check", { name, pipeline: text.value });
    if (mine !== asked) return;
    if (!answer.ok) { show($("#check"), el("p", { class: "form-error" }, answer.body?.detail ?? "The gateway does not answer.")); return; }
    const { valid, findings, changes } = answer.body;
    text.dispatchEvent(new CustomEvent("checked", { detail: answer.body }));
    wrong = new Set(findings.filter((one) => one.severity === "error").map((one) => one.line));
    numbered();
    const save = $("[data-save]");
    if (save) save.disabled = !valid;
    const unchanged = text.value === saved ? "Nothing has been changed." : "It decides as the saved one does.";
    show($("#check"),
      findings.length ? el("ul", { class: "changes" }, findings.map(finding)) : null,
      changes.length ? [el("h3", {}, "It would change"), el("ul", { class: "changes" }, changes.map(change))] : valid ? quiet(unchanged) : null);
  }

  // Past calls

  const WORDS = {
    newly_blocked: ["newly blocked", "bad"], no_longer_blocked: ["no longer blocked", "ok"],
    newly_masked: ["newly masked", "warn"], no_longer_masked: ["no longer masked", "warn"], same: ["the same", ""],
  };
  const chip = (effect, count) => el("span", { class: `chip ${WORDS[effect][1]}` }, `${count} ${WORDS[effect][0]}`);
  function example(one) {
    const found = (one.findings ?? []).map((f) => [el("mark", {}, f.sample || f.kind), " "]);
    return el("li", {}, el("a", { href: `/app/calls/${one.call}` }, el("time", { datetime: one.ts }, one.ts)), " ",
      el("span", { class: "quiet" }, one.agent_id), el("br"), one.reason, " ", ...found.flat());
  }
  function group(one) {
    const agents = Object.entries(one.agents).map(([agent, count]) => `${agent} ${count}`).join(", ");
    return el("details", { class: "group" },
      el("summary", {}, chip(one.effect, one.count), " ", el("code", {}, one.step), " ", el("span", { class: "quiet" }, agents)),
      el("ul", { class: "changes" }, one.examples.map(example)));
  }
  async function tryIt() {
    const place = $("#tried");
    const button = $("[data-try]");
    button.disabled = true;
    show(place, quiet("Judging …"));
    place.classList.remove("stale");
    place.dataset.tried = "";
    const since = new Date(Date.now() - Number($("#window").value) * 86400000).toISOString();
    const answer = await api("POST", "/pipelines/replay", { name, pipeline: text.value, since });
    button.disabled = false;
    if (!answer.ok) { show(place, el("p", { class: "form-error" }, answer.body?.detail ?? "The gateway does not answer.")); return; }
    const { calls, counts, groups, agents, not_replayed: left, advice } = answer.body;
    const whose = agents ? `of ${agents.join(", ")}` : "of all agents";
    const parts = (partly) => left.filter((one) => one.partly === partly).map((one) => one.step).join(", ");
    const left_out = [["As recorded, for they cannot be judged again", parts(false)], ["Judged without what they remember", parts(true)]];
    show(place,
      advice ? el("p", { class: "notice" }, advice) : null,
      calls.replayed ? [
        el("p", {}, el("strong", {}, `${calls.replayed} calls`), ` ${whose}`),
        el("p", { class: "chips" }, Object.keys(WORDS).filter((effect) => counts[effect]).map((effect) => chip(effect, counts[effect]))),
        groups.map(group),
        calls.without_text ? quiet(`${calls.without_text} calls of models had no text that was kept.`) : null,
        calls.skipped ? quiet(`${calls.skipped} kept calls could not be judged.`) : null,
        ...left_out.filter(([, steps]) => steps).map(([words, steps]) => el("p", { class: "quiet small" }, `${words}: ${steps}`)),
      ].flat() : null);
    localise(place);
  }

  let waiting = null;
  text.addEventListener("input", () => {
    numbered();
    // What was tried was another text.
    const tried = $("#tried[data-tried]:not(.stale)");
    if (tried) {
      tried.classList.add("stale");
      tried.prepend(el("p", {}, "The text has changed since: try it again."));
    }
    clearTimeout(waiting);
    waiting = setTimeout(check, 250);
  });
  text.addEventListener("check", check);
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  // Tab indents, as editors do; Escape, then Tab, leaves as everywhere.
  let leaving = false;
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { leaving = true; return; }
    if (event.key === "Tab" && !event.shiftKey && !leaving && !text.readOnly) {
      event.preventDefault();
      text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
      text.dispatchEvent(new Event("input"));
    }
    leaving = false;
  });
  $("[data-try]")?.addEventListener("click", tryIt);
  numbered();
  check();
});
