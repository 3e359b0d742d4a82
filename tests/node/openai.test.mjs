// The `openai` package for Node as it is, pointed at a real gateway by base URL and key alone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { PIXEL, SECRET, chunk, completion, responding, response, start } from "./gateway.mjs";

let gateway;
before(async () => (gateway = await start()));
after(() => gateway?.stop());

async function client(mode, options = {}) {
  const { api_key: apiKey } = await gateway.register(mode);
  return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, ...options });
}

const user = (content) => [{ role: "user", content }];
const parameters = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
const tools = [{ type: "function", function: { name: "weather", description: "The weather", parameters } }];

test("chat", async () => {
  const answer = await (await client()).chat.completions.create({ model: "builtin", messages: user("say: hello") });
  assert.equal(answer.choices[0].message.content, "hello");
  assert.ok(answer.usage.total_tokens > 0);
  assert.equal(answer.tappass.blocked, false);
});

test("stream, plain and with the helper", async () => {
  const openai = await client();
  const asked = { model: "builtin", messages: user("say: one two three") };
  let text = "";
  for await (const part of await openai.chat.completions.create({ ...asked, stream: true })) {
    text += part.choices[0]?.delta.content ?? "";
  }
  assert.equal(text, "one two three");
  const final = await openai.chat.completions.stream(asked).finalChatCompletion();
  assert.equal(final.choices[0].message.content, "one two three");
});

test("tools, there and back, whole and streamed", async () => {
  const openai = await client();
  const asked = { model: "builtin", messages: user('call weather {"place": "Ghent"}'), tools };
  const whole = await openai.chat.completions.create(asked);
  const streamed = await openai.chat.completions.stream(asked).finalChatCompletion();
  for (const answer of [whole, streamed]) {
    const [call] = answer.choices[0].message.tool_calls;
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["weather", { place: "Ghent" }]);
  }
  const { message } = whole.choices[0];
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "rain" };
  const messages = [...asked.messages, message, result];
  const told = await openai.chat.completions.create({ ...asked, messages });
  assert.match(told.choices[0].message.content, /rain/);
});

test("structured output", async () => {
  const Claim = z.object({ number: z.number(), reasons: z.array(z.string()) });
  const format = zodResponseFormat(Claim, "claim");
  const asked = { model: "builtin", messages: user("a claim"), response_format: format };
  const answer = await (await client()).chat.completions.parse(asked);
  assert.ok(Claim.parse(answer.choices[0].message.parsed));
});

test("an image reaches the provider as it was sent", async () => {
  gateway.provider.will({ body: completion("a pixel") });
  const image = { type: "image_url", image_url: { url: `data:image/gif;base64,${PIXEL}`, detail: "low" } };
  const asked = { model: "gpt-4o", messages: user([{ type: "text", text: "What is this?" }, image]) };
  const answer = await (await client()).chat.completions.create(asked);
  assert.equal(answer.choices[0].message.content, "a pixel");
  assert.deepEqual(gateway.provider.requests[0].body.messages, asked.messages);
});

test("responses: chat, stream, tools there and back, structured output", async () => {
  const openai = await client();
  const whole = await openai.responses.create({ model: "builtin", input: "say: hello" });
  assert.equal(whole.output_text, "hello");
  const stream = openai.responses.stream({ model: "builtin", input: "say: one two three" });
  assert.equal((await stream.finalResponse()).output_text, "one two three");
  const functions = [{ type: "function", name: "weather", description: "The weather", parameters, strict: false }];
  const input = user('call weather {"place": "Ghent"}');
  const called = await openai.responses.create({ model: "builtin", input, tools: functions });
  const [call] = called.output.filter((item) => item.type === "function_call");
  assert.deepEqual([call.name, JSON.parse(call.arguments)], ["weather", { place: "Ghent" }]);
  const result = { type: "function_call_output", call_id: call.call_id, output: "rain" };
  const told = await openai.responses.create({ model: "builtin", input: [...input, call, result], tools: functions });
  assert.match(told.output_text, /rain/);
  const Claim = z.object({ number: z.number(), reasons: z.array(z.string()) });
  const text = { format: zodTextFormat(Claim, "claim") };
  const parsed = await openai.responses.parse({ model: "builtin", input: "a claim", text });
  assert.ok(Claim.parse(parsed.output_parsed));
});

test("responses: an image reaches the provider, a block does not, leaving cancels", async () => {
  gateway.provider.will({ body: response("a pixel") });
  const image = { type: "input_image", image_url: `data:image/gif;base64,${PIXEL}`, detail: "low" };
  const input = user([{ type: "input_text", text: "What is this?" }, image]);
  const openai = await client();
  assert.equal((await openai.responses.create({ model: "gpt-4o", input })).output_text, "a pixel");
  assert.deepEqual(gateway.provider.requests[0].body.input, input);
  gateway.provider.will({ body: response("no") });
  const enforced = await client("enforce", { maxRetries: 5 });
  const refused = enforced.responses.create({ model: "gpt-4o", input: `keep ${SECRET}` });
  await assert.rejects(refused, (error) => error instanceof OpenAI.PermissionDeniedError);
  assert.equal(gateway.provider.requests.length, 0);
  gateway.provider.will({ events: responding("one two "), stall: true });
  const left = gateway.provider.left();
  for await (const event of await openai.responses.create({ model: "gpt-4o", input: "x", stream: true })) {
    if (event.type === "response.output_text.delta") break;
  }
  await left;
});

test("embeddings", async () => {
  const made = await (await client()).embeddings.create({ model: "builtin", input: ["a dog", "a cat"] });
  assert.equal(made.data.length, 2);
  assert.ok(made.data[0].embedding.length > 10);
});

for (const stream of [false, true]) {
  test(`a block is raised once and reaches no provider, stream: ${stream}`, async () => {
    gateway.provider.will({ body: completion("no") });
    const agent = await gateway.register("enforce");
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: agent.api_key, maxRetries: 5 });
    const call = openai.chat.completions.create({ model: "gpt-4o", messages: user(`keep ${SECRET}`), stream });
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof OpenAI.PermissionDeniedError, `${error}`);
      assert.deepEqual([error.status, error.code, error.error.blocked_by], [403, "policy_block", "detect_secrets"]);
      return true;
    });
    assert.equal(gateway.provider.requests.length, 0);
    assert.deepEqual((await gateway.events(agent)).map((event) => event.action), ["block"]);
  });
}

test("the provider's errors are the client's own", async () => {
  const openai = await client("observe", { maxRetries: 0 });
  const wrong = { error: { message: "try later", type: "server_error" } };
  for (const [status, kind] of [
    [400, OpenAI.BadRequestError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ]) {
    gateway.provider.will({ status, headers: { "retry-after": "0" }, body: wrong });
    const call = openai.chat.completions.create({ model: "gpt-4o", messages: user("x") });
    await assert.rejects(call, (error) => error instanceof kind && /try later/.test(error.message));
  }
});

test("a wrong key, and what is malformed", async () => {
  const stranger = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "tp_wrong" });
  const asked = { model: "builtin", messages: user("x") };
  await assert.rejects(stranger.chat.completions.create(asked), OpenAI.AuthenticationError);
  const call = (await client()).chat.completions.create({ model: "builtin", messages: "x" });
  await assert.rejects(call, OpenAI.UnprocessableEntityError);
});

test("leaving a stream cancels the provider's", async () => {
  gateway.provider.will({ events: [chunk("one"), chunk(" two")], stall: true });
  const left = gateway.provider.left();
  const asked = { model: "gpt-4o", messages: user("x"), stream: true };
  for await (const part of await (await client()).chat.completions.create(asked)) {
    if (part.choices[0]?.delta.content) break;
  }
  await left;
});
