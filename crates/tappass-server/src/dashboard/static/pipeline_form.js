// The steps of a pipeline as forms. The text stays the truth: a control asks the API for the text with that one change, puts
// it into the editor, and shows what the check then says of each step. It writes nothing; saving is the form's business.
"use strict";
document.addEventListener("DOMContentLoaded", async () => {
  const { api, toast } = window.tappass;
  const place = document.querySelector("#by-form");
  const text = document.querySelector("#text");
  const status = document.querySelector("#by-form-said");
  const answer = await api("GET", "/schemas/pipeline.json");
  if (!answer.ok) return;
  const schema = answer.body;

  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== false) element.setAttribute(key, value);
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }
  const ticked = (words) => words.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));

  // What a parameter may be

  /** A schema with its reference followed and `null` told apart. */
  function plain(of) {
    if (of.$ref) return plain(of.$ref.slice(2).split("/").reduce((at, part) => at[part], schema));
    const some = of.anyOf?.filter((one) => one.type !== "null");
    if (some?.length === 1) return { ...plain(some[0]), nullable: true };
    if (Array.isArray(of.type)) return { ...of, type: of.type.find((type) => type !== "null"), nullable: true };
    return of;
  }
  const wordsOf = (of) => of.enum ?? (of.oneOf?.every((one) => "const" in one) ? of.oneOf.map((one) => one.const) : null);
  /** How it is shown and read; null where only the text can say it. */
  function kindOf(of) {
    if (of.type === "boolean") return "boolean";
    if (wordsOf(of)) return "word";
    if (of.type === "number" || of.type === "integer") return "number";
    if (of.type === "array") { const items = plain(of.items ?? {}); return items.type === "string" || wordsOf(items) ? "list" : null; }
    return of.type === "string" ? "text" : null;
  }

  const round = (number) => Math.round(number * 1e6) / 1e6;
  function shown(kind, value) {
    if (value === null || value === undefined) return "";
    if (kind === "list") return value.join(", ");
    return kind === "number" ? String(round(value)) : String(value);
  }
  function read(kind, field, of) {
    if (kind === "boolean") return field.checked;
    const raw = field.value.trim();
    if (kind === "list") return raw.split(",").map((one) => one.trim()).filter(Boolean);
    if (raw === "" && (of.nullable || kind === "number")) return null;
    return kind === "number" ? Number(raw) : raw;
  }

  // One change after the other, each over the text that the one before has made

  let changes = Promise.resolve();
  function change(body, undo) {
    changes = changes.then(async () => {
      const before = text.value;
      const answer = await api("POST", "/pipelines/edit", { pipeline: before, ...body });
      if (!answer.ok) {
        toast(answer.body?.detail ?? "The gateway does not answer.", true);
        undo();
        return;
      }
      if (text.value !== before) { toast("The text has changed meanwhile; do it again.", true); undo(); return; }
      text.value = answer.body.pipeline;
      text.dispatchEvent(new Event("input"));
      status.textContent = body.parameter ? `${body.step}.${body.parameter} is set in the text.` : `${body.step} is as its preset has it.`;
      show(before, text.value);
    }).catch(() => { toast("The gateway does not answer. Is it running?", true); undo(); });
  }
  /** Brings the first line that differs into the editor's window. */
  function show(before, now) {
    const [old, lines] = [before.split("\n"), now.split("\n")];
    const at = lines.findIndex((line, i) => line !== old[i]);
    if (at >= 0) text.scrollTop = Math.max(0, (at - 4) * (text.scrollHeight / lines.length));
  }

  // A step

  const steps = new Map();
  class Step {
    constructor(id) {
      this.id = id;
      const known = plain({ $ref: `#/$defs/${id}` });
      this.parameters = Object.entries(known.properties).map(([name, of]) => ({ name, of: plain(of), meaning: of.description ?? "" }));
      this.now = null;
      this.fields = [];
      this.chip = el("span", { class: "chip" }, "…");
      this.body = el("div", { class: "part-body" });
      this.part = el("details", { class: "part", "data-step": id },
        el("summary", {}, el("span", { class: "part-id" }, el("code", {}, id)), el("span", { class: "part-what" }, known.description), el("span", { class: "part-on" }, this.chip)), this.body);
      this.part.addEventListener("toggle", () => { if (this.part.open && !this.body.firstChild) this.build(); });
    }
    value(name) { return name === "enabled" ? Boolean(this.now?.enabled) : this.now?.parameters?.[name]; }
    build() {
      const by_text = [];
      const rows = this.parameters.map((one) => {
        const kind = kindOf(one.of);
        if (!kind) { by_text.push(one.name); return null; }
        const id = `f-${this.id}-${one.name}`;
        const field = this.field(kind, one, id);
        field.addEventListener("change", () => {
          const value = read(kind, field, one.of);
          // An empty number that must be one says nothing.
          if (value === null && !one.of.nullable) { this.fill(); return; }
          change({ step: this.id, parameter: one.name, value }, () => this.fill());
        });
        this.fields.push({ ...one, kind, field });
        const label = el("label", { for: id }, el("code", {}, one.name));
        const hint = el("p", { class: "hint", id: `${id}-hint` }, ticked(one.meaning));
        return kind === "boolean" ? el("div", { class: "field" }, el("span", { class: "check" }, field, label), hint) : el("div", { class: "field" }, label, field, hint);
      });
      const back = el("button", { type: "button", class: "button small" }, "As its preset has it");
      back.addEventListener("click", () => change({ step: this.id }, () => this.fill()));
      this.body.append(el("div", { class: "controls" }, rows),
        by_text.length ? el("p", { class: "quiet small" }, "By the text only: ", by_text.flatMap((name, i) => [i ? ", " : "", el("code", {}, name)])) : null ?? "",
        el("p", { class: "actions" }, back));
      this.fill();
    }
    field(kind, one, id) {
      const about = { id, "aria-describedby": `${id}-hint` };
      if (kind === "boolean") return el("input", { ...about, type: "checkbox" });
      if (kind === "word") return el("select", about, one.of.nullable ? el("option", { value: "" }, "not set") : null, wordsOf(one.of).map((word) => el("option", {}, word)));
      const number = kind === "number" && { type: "number", step: one.of.type === "integer" ? "1" : "any", min: one.of.minimum, max: one.of.maximum };
      return el("input", { ...about, type: "text", ...number, autocomplete: "off", spellcheck: "false", placeholder: kind === "list" ? "none; names with commas" : one.of.nullable ? "not set" : undefined });
    }
    /** Shows what the text says. */
    fill() {
      const on = this.value("enabled");
      const word = on ? String(this.value("on_detection") ?? "on") : "off";
      this.chip.textContent = word;
      this.chip.className = on ? `chip ${{ block: "bad", redact: "info", notify: "warn" }[word] ?? ""}` : "chip";
      for (const { name, kind, field, of } of this.fields) {
        if (kind === "boolean") field.checked = Boolean(on || name === "enabled" ? this.value(name) : of.default);
        else { const value = shown(kind, on ? this.value(name) : of.default); if (field.value !== value) field.value = value; }
      }
    }
  }

  const ids = Object.keys(schema.properties.steps.properties);
  for (const id of ids) steps.set(id, new Step(id));
  place.append(...[...steps.values()].map((step) => step.part));
  // A text that is not valid has no steps: the forms wait until it is mended.
  text.addEventListener("checked", (event) => {
    const { valid, steps: now } = event.detail;
    place.inert = !valid;
    if (!valid) { status.textContent = "The text has to be valid before a form can change it."; return; }
    if (status.textContent.startsWith("The text has to")) status.textContent = "";
    const by_id = new Map(now.map((step) => [step.id, step]));
    for (const step of steps.values()) { step.now = by_id.get(step.id) ?? null; step.fill(); }
  });
  const search = document.querySelector("#find-step");
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const step of steps.values()) step.part.hidden = !step.part.firstChild.textContent.toLowerCase().includes(wanted);
  });
  text.dispatchEvent(new Event("check"));
});
