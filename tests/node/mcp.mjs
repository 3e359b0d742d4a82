// MCP servers from npm: the protocol's own demonstration server as it is, and one made of its SDK that tells what it was
// called with, leaves its streams and changes what it says of its tools.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createSocket } from "node:net";
import { fileURLToPath } from "node:url";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const DEADLINE = 60_000;
const EVERYTHING = import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js");

/** Waits until it gives something, by asking again and again. */
export async function until(something) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const found = await something();
    if (found) return found;
    if (Date.now() > end) throw new Error(`in vain: ${something}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** `@modelcontextprotocol/server-everything`, unmodified, over Streamable HTTP. */
export async function everything() {
  const port = await freePort();
  const command = [fileURLToPath(EVERYTHING), "streamableHttp"];
  const options = { env: { PATH: process.env.PATH, PORT: `${port}` }, stdio: "ignore" };
  const program = spawn(process.execPath, command, options);
  const url = `http://127.0.0.1:${port}/mcp`;
  await until(() => fetch(url).then(() => true, () => program.exitCode !== null && Promise.reject(program.exitCode)));
  return {
    url,
    async stop() {
      program.kill();
      await once(program, "exit");
    },
  };
}

async function freePort() {
  const socket = createSocket().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

/** A server of the SDK, in this process. */
export async function desk() {
  const transports = new Map();
  const desk = { heard: [], connections: [], description: "Reads a ticket.", mail: "" };
  const http = createServer(async (request, response) => {
    desk.connections.push({ method: request.method, headers: request.headers });
    const known = transports.get(request.headers["mcp-session-id"]);
    await (known ?? (await begun())).handleRequest(request, response);
  });
  async function begun() {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: events(),
      retryInterval: 30,
      onsessioninitialized: (id) => transports.set(id, transport),
    });
    await tools(desk).connect(transport);
    return transport;
  }
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  desk.url = `http://127.0.0.1:${http.address().port}/mcp`;
  desk.stop = async () => {
    http.closeAllConnections();
    http.close();
  };
  return desk;
}

function tools(desk) {
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  const said = (text) => ({ content: [{ type: "text", text }] });
  const ticket = { description: desk.description, inputSchema: { number: z.number() } };
  server.registerTool("ticket", ticket, async ({ number }) => {
    desk.heard.push(["ticket", { number }]);
    return said(`Ticket ${number}, by ${desk.mail}`);
  });
  const note = { description: "Keeps a note.", inputSchema: { text: z.string() } };
  server.registerTool("note", note, async ({ text }) => {
    desk.heard.push(["note", { text }]);
    return said("kept");
  });
  // Answers when somebody has taken the stream up again. The protocol's way to poll: the server itself leaves it.
  const report = { description: "Writes a long report.", inputSchema: { leave: z.boolean() } };
  server.registerTool("report", report, async ({ leave }, extra) => {
    if (leave) extra.closeSSEStream();
    await until(() => desk.connections.some(({ headers }) => headers["last-event-id"]));
    return said(`A report for ${desk.mail}`);
  });
  return server;
}

/** Keeps the events of a session, so that its streams can be taken up where they ended. */
function events() {
  const kept = [];
  return {
    async storeEvent(stream, message) {
      kept.push({ stream, message, id: `${stream}/${kept.length}` });
      return kept.at(-1).id;
    },
    async getStreamIdForEventId(id) {
      return kept.find((event) => event.id === id)?.stream;
    },
    async replayEventsAfter(last, { send }) {
      const from = kept.findIndex((event) => event.id === last);
      const { stream } = kept[from];
      const missed = kept.slice(from + 1).filter((event) => event.stream === stream);
      for (const { id, message } of missed) await send(id, message);
      return stream;
    },
  };
}
