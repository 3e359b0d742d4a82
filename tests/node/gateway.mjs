// A real gateway: the program of this checkout with a fresh data directory, an organisation and a stand-in for the
// provider, which plays prepared answers and keeps what it received. What needs no provider is answered by `builtin`.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");
const DEADLINE = 60_000;

export const SECRET = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8";
export const PIXEL = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

/** Starts one, with these variables beside its own; `stop()` ends it. */
export async function start(variables = {}) {
  execFileSync("cargo", ["build", "--locked", "--quiet", "-p", "tappass"], { cwd: ROOT, stdio: "inherit" });
  const program = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/tappass");
  const home = await mkdtemp(join(tmpdir(), "tappass-node-"));
  const provider = await standIn();
  const environment = {
    PATH: process.env.PATH,
    TAPPASS_LICENSE: readFileSync(join(ROOT, "tests/license/license.txt"), "utf8").trim(),
    TAPPASS_LICENSE_PUBLIC_KEY: readFileSync(join(ROOT, "tests/license/public-key.txt"), "utf8").trim(),
    HOME: home,
    OPENAI_BASE_URL: `${provider.url}/v1`,
    OPENAI_API_KEY: "sk-of-the-provider",
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "ant-of-the-provider",
    ...variables,
  };
  const up = ["up", "--background", "--defaults", "--storage", "memory", "--port", "0"];
  const options = { cwd: home, env: environment, encoding: "utf8", timeout: DEADLINE, stdio: ["ignore", "pipe", "ignore"] };
  const said = execFileSync(program, up, options);
  const url = said.split("\n")[0].split(" ").at(-1);
  const account = { email: "ada@example.com", password: "correct horse battery", org_name: "Example" };
  const token = (await asked(url, "", "POST", "/auth/signup", account)).session.token;
  let agents = 0;
  return {
    url,
    provider,
    /** Asks as the account that was made at the start; `yaml` is a body that is no JSON. */
    ask: (method, path, body, yaml) => asked(url, token, method, path, body, yaml),
    /** A new agent, with its key. */
    register: (mode = "observe", more = {}) =>
      asked(url, token, "POST", "/agents/register", { agent_id: `agent-${agents++}`, mode, ...more }),
    /** What the log has of an agent's model calls. */
    async events(agent) {
      const page = await asked(url, token, "GET", `/audit?agent_id=${agent.agent_id}&limit=100`);
      return page.items.filter((event) => event.event_type.startsWith("llm_call"));
    },
    /** Runs a command as somebody with a home of their own: the process, and `said`, which is all it has said so far. */
    run(home, ...args) {
      const child = spawn(program, ["--server", url, ...args], { env: { PATH: process.env.PATH, HOME: home } });
      child.said = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (child.said += piece));
      return child;
    },
    async stop() {
      execFileSync(program, ["down"], options);
      await provider.stop();
      await rm(home, { recursive: true });
    },
  };
}

async function asked(url, token, method, path, body, yaml) {
  const kind = yaml ? "application/yaml" : "application/json";
  const headers = { "content-type": kind, ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(url + path, { method, headers, body: yaml ?? (body && JSON.stringify(body)) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

/** An answer is `{status, headers, body}`, or `{events, stall}` for a stream that stays open until its client leaves. */
async function standIn() {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    if (request.method === "GET") {
      // Which models there are: whoever tries a key asks that.
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ object: "list", data: [{ id: "gpt-x", object: "model" }] }));
      return;
    }
    provider.requests.push({ path: request.url, headers: request.headers, body: JSON.parse(body) });
    const nothing = { status: 400, body: { error: { message: "no answer was prepared" } } };
    const answer = provider.answers.length > 1 ? provider.answers.shift() : (provider.answers[0] ?? nothing);
    if (!answer.events) {
      response.writeHead(answer.status ?? 200, { "content-type": "application/json", ...answer.headers });
      response.end(JSON.stringify(answer.body));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of answer.events) {
      const name = event.type ? `event: ${event.type}\n` : "";
      response.write(`${name}data: ${JSON.stringify(event)}\n\n`);
    }
    if (answer.stall) response.once("close", () => provider.onLeft());
    else response.end("data: [DONE]\n\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const provider = {
    url: `http://127.0.0.1:${server.address().port}`,
    requests: [],
    /** Played in order, the last one again and again. */
    answers: [],
    onLeft() {},
    /** Forgets what was; these come next. */
    will(...answers) {
      Object.assign(provider, { requests: [], answers });
    },
    /** Resolves when the client of a stream that stalls has left it. */
    left() {
      return new Promise((resolved, rejected) => {
        const late = setTimeout(() => rejected(new Error("nobody left")), 30_000);
        provider.onLeft = () => (clearTimeout(late), resolved());
      });
    },
    async stop() {
      server.closeAllConnections?.();
      server.close();
    },
  };
  return provider;
}

/** A chat completion, as OpenAI answers it. */
export function completion(content) {
  const message = { role: "assistant", content };
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  const choices = [{ index: 0, finish_reason: "stop", message }];
  return { id: "c1", object: "chat.completion", created: 1, model: "m", choices, usage };
}

/** A chunk of a streamed one. */
export function chunk(content) {
  const choices = [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }];
  return { id: "c1", object: "chat.completion.chunk", created: 1, model: "m", choices };
}

/** A response, as OpenAI answers it. */
export function response(...texts) {
  const content = texts.map((text) => ({ type: "output_text", text, annotations: [] }));
  const output = texts.length ? [{ type: "message", id: "o1", role: "assistant", status: "completed", content }] : [];
  const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
  const status = texts.length ? "completed" : "in_progress";
  return { id: "r1", object: "response", created_at: 1, model: "m", status, output, usage };
}

/** How a streamed one begins. */
export function responding(text) {
  const item = { type: "message", id: "o1", role: "assistant", status: "in_progress", content: [] };
  const part = { type: "output_text", text: "", annotations: [] };
  const place = { item_id: "o1", output_index: 0, content_index: 0 };
  return [
    { type: "response.created", response: response() },
    { type: "response.output_item.added", output_index: 0, item },
    { type: "response.content_part.added", ...place, part },
    { type: "response.output_text.delta", ...place, delta: text },
  ].map((event, sequence_number) => ({ ...event, sequence_number }));
}

/** A message, as Anthropic answers it. */
export function message(...texts) {
  const content = texts.map((text) => ({ type: "text", text }));
  const usage = { input_tokens: 1, output_tokens: 1 };
  const head = { id: "m1", type: "message", role: "assistant", model: "m", content };
  return { ...head, stop_reason: texts.length ? "end_turn" : null, stop_sequence: null, usage };
}

/** How a streamed one begins. */
export function begun(text) {
  return [
    { type: "message_start", message: message() },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } },
  ];
}
