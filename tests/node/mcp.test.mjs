// MCP from end to end with npm's packages: the official SDK's client as it is, the gateway, and servers behind it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { SECRET, start } from "./gateway.mjs";
import { desk as startDesk, everything as startEverything, until } from "./mcp.mjs";

const EMAIL = "jan.peeters@acme.eu";
const MASKING = {
  preset: "standard",
  overrides: {
    pii_tokenize: { enabled: false },
    // The demonstration server's form has many short descriptions; it is about what the answer holds.
    detect_injection: { on_detection: "log" },
    detect_pii: { on_detection: "redact" },
    rate_limit: { max_calls: 1000 },
  },
};

let gateway, everything, desk, agent;
before(async () => {
  [gateway, everything, desk] = await Promise.all([
    start({ TAPPASS_EGRESS_ALLOW: "127.0.0.1" }),
    startEverything(),
    startDesk(),
  ]);
  await gateway.ask("PUT", "/pipelines/masking", MASKING);
  agent = await gateway.register("enforce", { floor: "enforce", preset: "masking" });
  for (const [name, { url }] of Object.entries({ everything, desk })) {
    await gateway.ask("POST", "/admin/mcp/servers", { name, url });
  }
  desk.mail = EMAIL;
});
after(() => Promise.all([gateway, everything, desk].map((it) => it?.stop())));

function transport(server, more = {}) {
  const requestInit = { headers: { Authorization: `Bearer ${agent.api_key}` } };
  return new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp/${server}`), { requestInit, ...more });
}

/** Speaks with a server; only the address and the key are ours. */
async function speaking(server, work, capabilities = {}) {
  const client = new Client({ name: "test", version: "1.0.0" }, { capabilities });
  const way = transport(server);
  await client.connect(way);
  try {
    return await work(client, way);
  } finally {
    await client.close();
  }
}

const call = (client, name, args = {}) => client.callTool({ name, arguments: args });
const text = (result) => result.content.map((part) => part.text ?? "").join("");
const names = async (client) => (await client.listTools()).tools.map((tool) => tool.name);

test("tools are listed and called, whatever they return", () =>
  speaking("everything", async (client) => {
    assert.equal(client.getServerVersion().name, "mcp-servers/everything");
    const listed = await names(client);
    for (const name of ["echo", "get-sum", "get-tiny-image", "get-structured-content"]) {
      assert.ok(listed.includes(name), `${listed}`);
    }
    assert.equal(text(await call(client, "get-sum", { a: 2, b: 3 })), "The sum of 2 and 3 is 5.");
    const weather = await call(client, "get-structured-content", { location: "Chicago" });
    assert.equal(weather.structuredContent.temperature, 36);
    const drawn = await call(client, "get-tiny-image");
    assert.ok(drawn.content.some((part) => part.type === "image" && part.data.length > 1000));
    assert.ok((await client.listResources()).resources.length > 0);
    assert.ok((await client.listPrompts()).prompts.length > 0);
    const wrong = await call(client, "get-sum", { a: "two", b: 3 });
    assert.ok(wrong.isError);
  }));

test("an argument that is refused does not reach the server, and the model hears why", () =>
  speaking("desk", async (client) => {
    desk.heard.length = 0;
    const refused = await call(client, "note", { text: "../../../../etc/shadow" });
    assert.ok(refused.isError, text(refused));
    assert.match(text(refused), /Blocked by scan_tool_calls/);
    assert.equal(refused._meta.tappass.decision, "policy_block");
    // The session goes on.
    assert.equal(text(await call(client, "note", { text: "keep this" })), "kept");
    assert.deepEqual(desk.heard, [["note", { text: "keep this" }]]);
    const keys = desk.connections.filter(({ headers }) => JSON.stringify(headers).includes(agent.api_key));
    assert.equal(keys.length, 0, "the agent's key went on to the server");
  }));

test("what must be masked is masked on both ways", () =>
  speaking("desk", async (client) => {
    desk.heard.length = 0;
    assert.equal(text(await call(client, "ticket", { number: 7 })), "Ticket 7, by [EMAIL]");
    await call(client, "note", { text: `write to ${EMAIL}` });
    assert.deepEqual(desk.heard.at(-1), ["note", { text: "write to [EMAIL]" }]);
    await call(client, "note", { text: `keep ${SECRET}` });
    assert.deepEqual(desk.heard.at(-1), ["note", { text: "keep [GITHUB_TOKEN]" }]);
  }));

test("what a server asks of the user and of the model is judged", () => {
  const asked = [];
  const work = async (client) => {
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push("user");
      const content = { name: "Ada", email: EMAIL };
      return { action: params.requestedSchema ? "accept" : "decline", content };
    });
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => {
      asked.push(JSON.stringify(params.messages));
      return { role: "assistant", model: "m", content: { type: "text", text: `to ${EMAIL}` } };
    });
    const told = await call(client, "trigger-elicitation-request");
    assert.match(JSON.stringify(told), /\[EMAIL\]/);
    assert.ok(!JSON.stringify(told).includes(EMAIL));
    const sampled = await call(client, "trigger-sampling-request", { prompt: `mail ${EMAIL}`, maxTokens: 9 });
    assert.match(text(sampled), /to \[EMAIL\]/);
    assert.deepEqual(asked.map((said) => said.includes(EMAIL)), [false, false]);
    assert.match(asked[1], /\[EMAIL\]/);
  };
  return speaking("everything", work, { elicitation: { form: {} }, sampling: {} });
});

test("a stream that the server leaves is taken up again, and its answer is judged", () =>
  speaking("desk", async (client) => {
    desk.connections.length = 0;
    assert.equal(text(await call(client, "report", { leave: true })), "A report for [EMAIL]");
    const taken = desk.connections.filter(({ headers }) => headers["last-event-id"]);
    assert.deepEqual(taken.map(({ method }) => method), ["GET"]);
  }));

test("a client that was cut off takes its stream up in a new connection", async () => {
  let token, session;
  desk.connections.length = 0;
  const report = { name: "report", arguments: { leave: false } };
  await speaking("desk", async (client, way) => {
    session = { sessionId: way.sessionId, protocolVersion: way.protocolVersion };
    const lost = client.callTool(report, CallToolResultSchema, { onresumptiontoken: (id) => (token = id) });
    const gone = assert.rejects(lost);
    await until(() => token);
    await client.close();
    await gone;
  });
  const client = new Client({ name: "test", version: "1.0.0" });
  const way = transport("desk", { sessionId: session.sessionId });
  await client.connect(way);
  way.setProtocolVersion(session.protocolVersion);
  const request = { method: "tools/call", params: report };
  const found = await client.request(request, CallToolResultSchema, { resumptionToken: token });
  assert.equal(text(found), "A report for [EMAIL]");
  await client.close();
});

test("a definition that changes is in quarantine until a person has read what is different", async () => {
  await speaking("desk", async (client) => assert.ok((await names(client)).includes("ticket")));
  desk.description = "Reads a ticket, and another one.";
  await speaking("desk", async (client) => {
    desk.heard.length = 0;
    assert.ok(!(await names(client)).includes("ticket"));
    const refused = await call(client, "ticket", { number: 1 });
    assert.match(text(refused), /has changed since it was first seen/);
    assert.deepEqual(desk.heard, []);
    const { items } = await gateway.ask("GET", "/admin/mcp/servers/desk/tools");
    const { changed } = items.find((item) => item.tool === "ticket");
    const [difference] = changed.differences;
    assert.deepEqual(difference, { at: "/description", was: "Reads a ticket.", now: desk.description });
    await gateway.ask("POST", `/admin/mcp/servers/desk/definitions/${changed.hash}/approve`, {});
    assert.ok((await names(client)).includes("ticket"));
    assert.equal(text(await call(client, "ticket", { number: 1 })), "Ticket 1, by [EMAIL]");
  });
});

test("a session ends where its client ends it", async () => {
  const ended = await speaking("everything", async (client, way) => {
    const { sessionId } = way;
    await way.terminateSession();
    return sessionId;
  });
  const again = new Client({ name: "test", version: "1.0.0" });
  const way = transport("everything", { sessionId: ended });
  await again.connect(way);
  await assert.rejects(again.listTools());
  await again.close();
});
