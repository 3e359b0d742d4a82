// The Vercel AI SDK as it is, in all three dialects, pointed at a real gateway by base URL and key alone.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, Output, RetryError, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { PIXEL, SECRET, begun, chunk, completion, message, responding, response, start } from "./gateway.mjs";

// It warns of models whose names it does not know.
globalThis.AI_SDK_LOG_WARNINGS = false;

let gateway;
before(async () => (gateway = await start()));
after(() => gateway?.stop());

const KINDS = {
  openai: {
    name: "gpt-4o",
    model: (apiKey, name) => createOpenAI({ baseURL: `${gateway.url}/v1`, apiKey }).chat(name),
    answer: completion,
    begun: (text) => [chunk(text)],
  },
  // What `createOpenAI(…)(name)` gives.
  responses: {
    name: "gpt-4o",
    model: (apiKey, name) => createOpenAI({ baseURL: `${gateway.url}/v1`, apiKey })(name),
    answer: response,
    begun: responding,
  },
  anthropic: {
    name: "claude-x",
    model: (apiKey, name) => createAnthropic({ baseURL: `${gateway.url}/v1`, apiKey })(name),
    answer: message,
    begun,
  },
};
const weather = tool({
  description: "The weather of a place",
  inputSchema: z.object({ place: z.string() }),
  execute: async ({ place }) => `rain in ${place}`,
});
const Claim = z.object({ number: z.number(), reasons: z.array(z.string()) });

for (const [kind, { name, model, answer, begun }] of Object.entries(KINDS)) {
  const of = async (name = "builtin") => model((await gateway.register()).api_key, name);

  describe(kind, () => {
    test("chat and stream", async () => {
      const whole = await generateText({ model: await of(), prompt: "say: hello" });
      assert.equal(whole.text, "hello");
      assert.ok(whole.usage.totalTokens > 0);
      const { textStream, finishReason } = streamText({ model: await of(), prompt: "say: one two three" });
      let text = "";
      for await (const part of textStream) text += part;
      assert.deepEqual([text, await finishReason], ["one two three", "stop"]);
    });

    test("tools, there and back, whole and streamed", async () => {
      const asked = {
        model: await of(),
        prompt: 'call weather {"place": "Ghent"}',
        tools: { weather },
        stopWhen: stepCountIs(2),
      };
      const whole = await generateText(asked);
      assert.deepEqual(whole.steps[0].toolCalls[0].input, { place: "Ghent" });
      assert.match(whole.text, /rain in Ghent/);
      const streamed = streamText(asked);
      assert.match(await streamed.text, /rain in Ghent/);
    });

    test("structured output", async () => {
      // To Anthropic the SDK offers a tool for it; the built-in model calls tools when told to.
      const prompt = kind === "anthropic" ? 'call json {"number": 7, "reasons": ["rain"]}' : "a claim";
      const { output } = await generateText({ model: await of(), prompt, output: Output.object({ schema: Claim }) });
      assert.ok(Claim.parse(output));
    });

    test("an image reaches the provider as it was sent", async () => {
      gateway.provider.will({ body: answer("a pixel") });
      const content = [
        { type: "text", text: "What is this?" },
        { type: "image", image: PIXEL, mediaType: "image/gif" },
      ];
      const { text } = await generateText({ model: await of(name), messages: [{ role: "user", content }] });
      assert.equal(text, "a pixel");
      assert.ok(JSON.stringify(gateway.provider.requests[0].body).includes(PIXEL));
    });

    test("a block is raised once and reaches no provider", async () => {
      gateway.provider.will({ body: answer("no") });
      const agent = await gateway.register("enforce");
      const asked = { model: model(agent.api_key, name), prompt: `keep ${SECRET}`, maxRetries: 5 };
      await assert.rejects(generateText(asked), (error) => {
        assert.ok(APICallError.isInstance(error), `${error}`);
        assert.deepEqual([error.statusCode, error.isRetryable], [403, false]);
        assert.equal(JSON.parse(error.responseBody).blocked_by, "detect_secrets");
        return true;
      });
      const errors = [];
      const stream = streamText({ ...asked, onError: ({ error }) => errors.push(error) });
      for await (const _ of stream.textStream);
      assert.deepEqual(errors.map((error) => error.statusCode), [403]);
      assert.equal(gateway.provider.requests.length, 0);
      assert.deepEqual((await gateway.events(agent)).map((event) => event.action), ["block", "block"]);
    });

    test("the provider's errors are the client's own", async () => {
      const wrong = { type: "error", error: { type: "api_error", message: "try later" } };
      for (const [status, retryable] of [
        [400, false],
        [429, true],
        [500, true],
      ]) {
        gateway.provider.will({ status, headers: { "retry-after": "0" }, body: wrong });
        const call = generateText({ model: await of(name), prompt: "x", maxRetries: 0 });
        await assert.rejects(call, (error) => {
          const last = RetryError.isInstance(error) ? error.lastError : error;
          assert.deepEqual([last.statusCode, last.isRetryable], [status, retryable]);
          return /try later/.test(last.message);
        });
      }
    });

    test("leaving a stream cancels the provider's", async () => {
      gateway.provider.will({ events: begun("one two "), stall: true });
      const left = gateway.provider.left();
      const leave = new AbortController();
      const stream = streamText({ model: await of(name), prompt: "x", abortSignal: leave.signal });
      for await (const _ of stream.textStream) leave.abort();
      await left;
    });
  });
}
