// What the pages do in the browser. Everything is an attribute that a template sets:
//
//   <form data-api="PATCH /agents/1">     (what is {named} in the path is the field with that data-path) is sent as JSON to the API, with the token against forgery. Names with dots
//                                         are nested; data-type (number, bool, json, lines, list) says what a field
//                                         is; data-optional leaves it out when empty; data-if-match is sent along.
//     data-then="reload"                  what follows: reload | go:/app/x/{field} | away:field (an address) | show:#dialog | event:name | none
//     data-toast="Saved."                 said afterwards
//     data-confirm="Really?"              asked before; also on one of its buttons, whose name and value are sent
//   <button data-key="a">                 is pressed by that key; in a data-row, only when the row has the focus
//   <form data-requests='[…]'>            sends several requests to the API, as proposals give them
//   <select data-submit>                  sends its form when it changes
//   <button data-open="#dialog">          opens a dialog; data-close closes the one around it
//   <button data-copy="#id">              copies a text
//   <time datetime="…">                   is told in this person's time zone, with UTC as its title
//   <g data-at="…" data-hours="1">         a bar of a chart for these hours is told in that zone too; data-zone says which
//   <div data-live="/audit/stream?…">     gets the event `live` when the log grows, at most once per data-every ms
//   <… data-rows>                         j, k and Enter walk through its links; / goes to the search; ? tells the keys
//   <… data-from-fragment>               its input gets what stands behind the # of the address, and is hidden then
"use strict";
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Messages

  function toast(text, bad = false) {
    const box = $("#toasts");
    if (!box || !text) return;
    const one = document.createElement("div");
    one.className = bad ? "toast bad" : "toast";
    one.textContent = text;
    box.append(one);
    setTimeout(() => one.remove(), bad ? 9000 : 4500);
  }

  const LATER = "tappass-toast";
  function toastAfterwards(text) {
    try { if (text) sessionStorage.setItem(LATER, text); } catch { /* then it is not said */ }
  }
  function toastKept() {
    try {
      const kept = sessionStorage.getItem(LATER);
      sessionStorage.removeItem(LATER);
      if (kept) toast(kept);
    } catch { /* nothing was kept */ }
  }

  // The API

  const csrf = () => $('meta[name="csrf-token"]')?.content ?? "";

  /** Asks the API; gives {ok, status, body, etag}. `body` is JSON unless it is a text. */
  async function api(method, path, body, headers = {}) {
    const sent = { ...headers };
    if (method !== "GET") sent["x-csrf-token"] = csrf();
    if (body !== undefined && !sent["content-type"]) sent["content-type"] = "application/json";
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const answer = await fetch(path, { method, headers: sent, body: body === undefined ? undefined : text });
    const came = await answer.text();
    let read = null;
    try { read = came ? JSON.parse(came) : null; } catch { read = { detail: came }; }
    return { ok: answer.ok, status: answer.status, body: read, etag: answer.headers.get("etag") };
  }

  function valueOf(field) {
    const raw = field.value;
    switch (field.dataset.type) {
      case "number": return raw === "" ? null : Number(raw);
      case "bool": return field.type === "checkbox" ? field.checked : raw === "true";
      case "json": return raw.trim() === "" ? null : JSON.parse(raw);
      case "lines": return raw.split("\n").map((l) => l.trim()).filter(Boolean);
      case "list": return raw.split(",").map((l) => l.trim()).filter(Boolean);
      default: return raw;
    }
  }

  function put(into, name, value) {
    const parts = name.split(".");
    const last = parts.pop();
    let at = into;
    for (const part of parts) at = at[part] ??= {};
    at[last] = value;
  }

  /** The form's fields as the API wants them. */
  function bodyOf(form) {
    const raw = $("[data-raw]", form);
    if (raw) return raw.value;
    const body = {};
    for (const field of form.elements) {
      if (!field.name || field.disabled) continue;
      if (field.type === "radio" && !field.checked) continue;
      if (field.type === "checkbox" && !field.dataset.type) {
        if (field.name.endsWith("[]")) {
          const name = field.name.slice(0, -2);
          if (!Array.isArray(body[name])) body[name] = [];
          if (field.checked) body[name].push(field.value);
        } else put(body, field.name, field.checked);
        continue;
      }
      if ("optional" in field.dataset && field.value.trim() === "") continue;
      try {
        put(body, field.name, valueOf(field));
      } catch {
        const label = field.labels?.[0]?.textContent ?? field.name;
        throw new Error(`${label}: this is not valid JSON.`);
      }
    }
    return body;
  }

  function told(form, message) {
    const box = $(".form-error", form);
    if (box) {
      box.textContent = message;
      box.hidden = !message;
    } else if (message) toast(message, true);
  }

  function filled(pattern, answer) {
    return pattern.replace(/\{([\w.]+)\}/g, (_, name) =>
      encodeURIComponent(name.split(".").reduce((at, part) => at?.[part], answer) ?? ""));
  }

  /** Puts an answer's fields where `data-out` names them. */
  function fillOut(within, answer) {
    for (const place of all("[data-out]", within)) {
      const value = place.dataset.out.split(".").reduce((at, part) => at?.[part], answer);
      const text = Array.isArray(value) ? value.join("\n") : String(value ?? "");
      if (place.tagName === "IMG") place.src = text; else if ("value" in place && place.tagName !== "LI") place.value = text; else place.textContent = text;
    }
  }

  /** Shows what has a `data-if`, where the answer has that field. */
  function showWhere(within, answer) {
    for (const place of all("[data-if]", within)) place.hidden = !answer?.[place.dataset.if];
  }

  /** The token of a mailed link stands behind the #, where no server sees it; nor does it stay in the address. */
  function fromFragment() {
    const token = location.hash.slice(1);
    const fields = all("[data-from-fragment]");
    if (!token || fields.length === 0) return;
    for (const field of fields) {
      $("input", field).value = token;
      field.hidden = true;
    }
    history.replaceState(null, "", location.pathname + location.search);
  }

  function follow(then, answer, said) {
    if (then.startsWith("go:")) {
      toastAfterwards(said);
      location.assign(filled(then.slice(3), answer));
    } else if (then.startsWith("away:")) {
      location.assign(answer[then.slice(5)]);
    } else if (then.startsWith("show:")) {
      const dialog = $(then.slice(5));
      fillOut(dialog, answer);
      showWhere(dialog, answer);
      all("dialog[open]").forEach((open) => open.close());
      dialog.showModal();
      toast(said);
    } else if (then.startsWith("event:")) {
      document.body.dispatchEvent(new CustomEvent(then.slice(6), { detail: answer, bubbles: true }));
      toast(said);
    } else if (then === "none") toast(said);
    else {
      toastAfterwards(said);
      location.reload();
    }
  }

  /** Sends what a proposal says, one request after the other; stops at the first that is refused. */
  async function sendAll(form) {
    const buttons = all("button", form);
    buttons.forEach((button) => { button.disabled = true; });
    told(form, "");
    try {
      let answer = null;
      for (const one of JSON.parse(form.dataset.requests)) {
        const headers = one.if_match ? { "if-match": one.if_match } : {};
        if (typeof one.body === "string") headers["content-type"] = "application/yaml";
        answer = await api(one.method, one.path, one.body, headers);
        if (!answer.ok) {
          told(form, answer.body?.detail ?? `The gateway answered ${answer.status}.`);
          return;
        }
      }
      follow(form.dataset.then ?? "reload", answer?.body, form.dataset.toast);
    } catch {
      told(form, "The gateway does not answer. Is it running?");
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  }

  async function send(form, submitter) {
    const [method, pattern] = form.dataset.api.split(" ", 2);
    const path = pattern.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent($(`[data-path="${name}"]`, form)?.value ?? ""));
    told(form, "");
    let body;
    try {
      body = method === "GET" || method === "DELETE" || "bare" in form.dataset ? undefined : bodyOf(form);
    } catch (error) {
      told(form, error.message);
      return;
    }
    if (submitter?.name && body) put(body, submitter.name, submitter.value);
    const headers = {};
    if (form.dataset.ifMatch) headers["if-match"] = form.dataset.ifMatch;
    if (form.dataset.contentType) headers["content-type"] = form.dataset.contentType;
    const buttons = all("button", form).concat(form.id ? all(`button[form="${form.id}"]`) : []);
    buttons.forEach((button) => { button.disabled = true; });
    try {
      const answer = await api(method, path, body, headers);
      if (answer.ok) {
        form.dispatchEvent(new CustomEvent("done", { detail: answer, bubbles: true }));
        follow(form.dataset.then ?? "reload", answer.body, form.dataset.toast);
        return;
      }
      if (answer.body?.code === "second_factor_needed" && "secondFactor" in form.dataset) {
        const code = $("[data-code]", form);
        code.hidden = false;
        $("input", code).focus();
      }
      form.dispatchEvent(new CustomEvent("refused", { detail: answer, bubbles: true }));
      told(form, answer.body?.detail ?? `The gateway answered ${answer.status}.`);
    } catch {
      told(form, "The gateway does not answer. Is it running?");
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  }

  /** Asks a question in a dialog of the page; resolves to the answer. */
  function confirmed(question, label = "Go on") {
    return new Promise((resolve) => {
      const dialog = document.createElement("dialog");
      const text = document.createElement("p");
      const actions = document.createElement("p");
      const no = document.createElement("button");
      const yes = document.createElement("button");
      text.textContent = question;
      no.textContent = "Cancel";
      yes.textContent = label;
      no.className = "button";
      yes.className = "button primary";
      actions.className = "actions";
      actions.append(no, yes);
      dialog.append(text, actions);
      document.body.append(dialog);
      let answer = false;
      yes.addEventListener("click", () => { answer = true; dialog.close(); });
      no.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => { dialog.remove(); resolve(answer); });
      dialog.showModal();
      yes.focus();
    });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.api && !form.dataset.requests) return;
    event.preventDefault();
    const asks = event.submitter?.dataset.confirm ? event.submitter : form;
    if (asks.dataset.confirm && !(await confirmed(asks.dataset.confirm, asks.dataset.confirmLabel))) return;
    await (form.dataset.requests ? sendAll(form) : send(form, event.submitter));
  });

  document.addEventListener("change", (event) => {
    if ("submit" in event.target.dataset) event.target.form.requestSubmit();
  });

  // Clicks

  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest?.(selector);
    const opens = on("[data-open]");
    if (opens) $(opens.dataset.open)?.showModal();
    if (on("[data-close]")) on("dialog")?.close();
    const copies = on("[data-copy]");
    if (copies) {
      const source = $(copies.dataset.copy);
      navigator.clipboard?.writeText(source.value ?? source.textContent).then(() => toast("Copied."));
    }
    if (on("[data-print]")) print();
    if (on("[data-theme-toggle]")) {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("tappass-theme", root.dataset.theme); } catch { /* for this page only */ }
    }
    const skipped = on("[data-show-skipped]");
    if (skipped) skipped.closest(".card").classList.toggle("show-skipped", skipped.checked);
    const menu = on("[data-menu]");
    if (menu) menu.setAttribute("aria-expanded", String($(".side").classList.toggle("open")));
  });
  // A click beside a dialog closes it.
  document.addEventListener("mousedown", (event) => {
    if (event.target.tagName === "DIALOG") {
      const box = event.target.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside) event.target.close();
    }
  });

  // Times

  const sameDay = (a, b) => a.toDateString() === b.toDateString();
  function local(time) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) return;
    if (!time.title) time.title = time.dateTime.replace("T", " ").replace(/\.\d+Z$/, "Z").replace("Z", " UTC");
    const clock = { hour: "2-digit", minute: "2-digit", hour12: false };
    const style = time.dataset.style ?? "short";
    if (style === "short") {
      const day = sameDay(date, new Date()) ? {} : { day: "numeric", month: "short" };
      const year = date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
      time.textContent = date.toLocaleString("en-GB", { ...day, ...year, ...clock, second: "2-digit" });
    } else if (style === "full") {
      time.textContent = date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium", hour12: false });
    } else if (style === "day") {
      time.textContent = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
    } else {
      time.textContent = ago((Date.now() - date.getTime()) / 1000);
    }
  }
  function ago(seconds) {
    const ahead = seconds < -1;
    const s = Math.abs(seconds);
    const [n, unit] = s < 60 ? [s, "s"] : s < 3600 ? [s / 60, " min"] : s < 172800 ? [s / 3600, " h"] : [s / 86400, " days"];
    const text = `${Math.floor(n)}${unit}`;
    return ahead ? `in ${text}` : s < 2 ? "now" : `${text} ago`;
  }
  /** Hours of a chart in this person's zone: what a bar is called, and which have a label. The page says them in UTC. */
  function localChart(svg) {
    const bars = all("g[data-at]", svg);
    const one_day = bars.reduce((sum, bar) => sum + Number(bar.dataset.hours), 0) <= 24;
    for (const bar of bars) {
      const hours = Array.from({ length: Number(bar.dataset.hours) }, (_, i) => new Date(Date.parse(bar.dataset.at) + i * 3600000));
      const told = (date, options) => date.toLocaleString("en-GB", { hour12: false, ...options });
      const title = $("title", bar);
      const said = told(hours[0], { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
      title.textContent = [said, ...title.textContent.split("\n").slice(1)].join("\n");
      const marked = hours.find((date) => (one_day ? date.getHours() % 3 === 0 : date.getHours() === 0));
      $("text", bar).textContent = !marked ? "" : one_day ? told(marked, { hour: "2-digit", minute: "2-digit" }) : told(marked, { weekday: "short", day: "numeric" });
    }
  }
  const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
  function localise(within) {
    all("time[datetime]", within).forEach(local);
    all("svg.chart", within).forEach(localChart);
    if (ZONE) all("[data-zone]", within).forEach((place) => { place.textContent = ZONE; });
  }
  setInterval(() => all('time[data-style="ago"]').forEach(local), 15000);

  // What happens now

  const streams = new WeakMap();
  function live(element) {
    if (streams.has(element)) return;
    const every = Number(element.dataset.every ?? 1000);
    let pending = 0;
    let timer = null;
    const tell = () => {
      timer = null;
      if (document.hidden || element.dataset.liveState === "paused" || pending === 0) return;
      // Who has scrolled down is reading: what is new waits above.
      const more = $("[data-live-more]", element);
      if ("liveTop" in element.dataset && scrollY > 320) {
        if (more) more.hidden = false;
        return;
      }
      if (more) more.hidden = true;
      pending = 0;
      element.dispatchEvent(new CustomEvent("live", { bubbles: false }));
    };
    const source = new EventSource(element.dataset.live);
    source.onopen = () => { if (element.dataset.liveState !== "paused") element.dataset.liveState = "on"; };
    source.onerror = () => { if (element.dataset.liveState !== "paused") element.dataset.liveState = "off"; };
    source.onmessage = () => {
      pending += 1;
      element.dispatchEvent(new CustomEvent("live-count", { detail: pending }));
      timer ??= setTimeout(tell, every);
    };
    const resume = () => { if (pending > 0) timer ??= setTimeout(tell, 0); };
    document.addEventListener("visibilitychange", resume);
    element.addEventListener("live-resume", resume);
    streams.set(element, source);
  }
  const silence = (one) => { streams.get(one)?.close(); streams.delete(one); };
  addEventListener("pagehide", () => all("[data-live]").forEach(silence));
  // What htmx takes away listens no more: a browser has few connections for one address.
  document.addEventListener("htmx:beforeCleanupElement", (event) => silence(event.detail.elt));
  addEventListener("pageshow", (event) => { if (event.persisted) all("[data-live]").forEach(live); });

  document.addEventListener("click", (event) => {
    const more = event.target.closest?.("[data-live-more]");
    if (more) {
      scrollTo({ top: 0 });
      more.closest("[data-live]").dispatchEvent(new Event("live-resume"));
    }
    const button = event.target.closest?.("[data-pause]");
    if (!button) return;
    const element = $(button.dataset.pause);
    const paused = element.dataset.liveState === "paused";
    element.dataset.liveState = paused ? "on" : "paused";
    button.setAttribute("aria-pressed", String(!paused));
    if (paused) element.dispatchEvent(new Event("live-resume"));
  });

  // The keyboard

  const typing = (target) => /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable;
  function walk(step) {
    const rows = all("[data-rows] [data-row], [data-rows] a.row").filter((row) => row.offsetParent !== null);
    if (rows.length === 0) return;
    const at = rows.indexOf(document.activeElement);
    const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)] ?? rows[0];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if ($("dialog[open]")) return;
    // A key that belongs to a row acts on the row that has the focus, and on no other.
    const keyed = all(`[data-key="${CSS.escape(event.key)}"]:not([disabled])`);
    const row = document.activeElement?.closest("[data-row]");
    const key = keyed.find((one) => one.closest("[data-row]") === row) ?? keyed.find((one) => !one.closest("[data-row]"));
    if (event.key === "j") walk(1);
    else if (event.key === "k") walk(-1);
    else if (event.key === "/") $("[data-search]")?.focus();
    else if (event.key === "?") $("#keys")?.showModal();
    else if (key) key.click();
    else return;
    event.preventDefault();
  });

  // Pages and parts of them

  function prepare(within) {
    localise(within);
    all("[data-live]", within).forEach(live);
    if (within.matches?.("[data-live]")) live(within);
  }
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status !== 401) toast(`The gateway answered ${event.detail.xhr.status}.`, true);
  });
  document.addEventListener("htmx:sendError", () => toast("The gateway does not answer.", true));
  // A filter that is empty does not stand in the address.
  document.addEventListener("htmx:configRequest", (event) => {
    const parameters = event.detail.parameters;
    for (const [name, value] of Object.entries(parameters)) if (value === "") delete parameters[name];
  });
  document.addEventListener("DOMContentLoaded", () => {
    prepare(document);
    fromFragment();
    toastKept();
  });

  window.tappass = { api, toast, confirmed, localise };
})();
