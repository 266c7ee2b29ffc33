// The clients for Node: OpenAI's, Anthropic's, the AI SDK's for Baseten, and Baseten's performance client.
//
// Reads from standard input where things are, and writes a line of JSON for each check: its sentence, and what went wrong.
// Clients are told another base URL and key, and nothing else; those that are to be refused do not try again.

import assert from "node:assert/strict";
import { text } from "node:stream/consumers";

import { createBaseten } from "@ai-sdk/baseten";
import Anthropic from "@anthropic-ai/sdk";
import { PerformanceClient } from "@basetenlabs/performance-client";
import { APICallError, embed, embedMany, generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";

const world = JSON.parse(await text(process.stdin));
const { model, other, asked } = world;
const whole = world.words.join("");
const parameters = { type: "object", properties: { name: { type: "string" } } };
const errors = { 404: "NotFoundError", 429: "RateLimitError", 503: "InternalServerError" };
const texts = Array.from({ length: 100 }, (_, number) => `text ${number}`);

async function check(sentence, does) {
    let error = null;
    try {
        await does();
    } catch (caught) {
        error = String(caught?.stack ?? caught);
    }
    console.log(JSON.stringify({ sentence, error }));
}

/** The server holds what follows the first event of a stream until this. */
const arrived = () => fetch(`${world.server}/first-event-arrived`, { method: "POST" });

const openai = (more = {}) => new OpenAI({ baseURL: `${world.data}/v1`, apiKey: world.key, ...more });
const anthropic = (more = {}) => new Anthropic({ baseURL: world.data, apiKey: world.key, ...more });
const baseten = (more = {}) =>
    createBaseten({ modelURL: `${world.data}/models/${model}/sync/v1`, apiKey: world.key, ...more });
const performance = (key = world.key, of = model) =>
    new PerformanceClient(`${world.relay}/models/${of}/sync`, key);

// OpenAI

await check("openai, Node: a chat is answered", async () => {
    const answer = await openai().chat.completions.create({ model, messages: asked });
    assert.equal(answer.choices[0].message.content, whole);
});

await check("openai, Node: a streamed chat comes event by event", async () => {
    const words = [];
    for await (const chunk of await openai().chat.completions.create({ model, messages: asked, stream: true })) {
        words.push(chunk.choices[0].delta.content ?? "");
        await arrived();
    }
    assert.equal(words.join(""), whole);
});

await check("openai, Node: a tool is called, at once and streamed", async () => {
    const tools = [{ type: "function", function: { name: world.tool, parameters } }];
    const plain = await openai().chat.completions.create({ model, messages: asked, tools });
    const streamed = openai().chat.completions.stream({ model, messages: asked, tools });
    for (const answer of [plain, await streamed.finalChatCompletion()]) {
        const [call] = answer.choices[0].message.tool_calls;
        assert.equal(call.function.name, world.tool);
        assert.deepEqual(JSON.parse(call.function.arguments), world.told);
    }
});

await check("openai, Node: embeddings of many texts come as the client asks for them", async () => {
    const answer = await openai().embeddings.create({ model, input: texts });
    assert.deepEqual(
        answer.data.map((each) => each.embedding),
        texts.map(() => world.vector),
    );
});

await check("openai, Node: the list has the key's own model", async () => {
    const models = [];
    for await (const each of openai().models.list()) models.push(each.id);
    assert.deepEqual(models, [model]);
});

await check("openai, Node: refusals are the client's own errors", async () => {
    const chat = (more, content = "hello", of = model) =>
        openai({ maxRetries: 0, ...more }).chat.completions.create({
            model: of,
            messages: [{ role: "user", content }],
        });
    await assert.rejects(chat({ apiKey: "none" }), OpenAI.AuthenticationError);
    await assert.rejects(chat({ apiKey: world.revoked }), OpenAI.AuthenticationError);
    await assert.rejects(chat({}, "hello", other), OpenAI.PermissionDeniedError);
    await assert.rejects(chat({ baseURL: `${world.data}/v2` }), OpenAI.NotFoundError);
    for (const [status, kind] of Object.entries(errors)) {
        const caught = await chat({}, `answer ${status}`).catch((error) => error);
        assert(caught instanceof OpenAI[kind], `${status}: ${caught}`);
        assert.equal(caught.status, Number(status));
        assert.equal(caught.error.message, "as asked");
    }
});

// Anthropic

await check("anthropic, Node: a message is answered", async () => {
    const answer = await anthropic().messages.create({ model, max_tokens: 9, messages: asked });
    assert.equal(answer.content[0].text, whole);
    const bearer = new Anthropic({ baseURL: world.data, apiKey: null, authToken: world.key });
    assert.equal((await bearer.messages.countTokens({ model, messages: asked })).input_tokens, 3);
});

await check("anthropic, Node: a streamed message comes event by event", async () => {
    const stream = anthropic().messages.stream({ model, max_tokens: 9, messages: asked });
    const words = [];
    for await (const event of stream) {
        await arrived();
        if (event.type === "content_block_delta") words.push(event.delta.text);
    }
    assert.deepEqual(words, world.words);
    assert.equal((await stream.finalMessage()).stop_reason, "end_turn");
});

await check("anthropic, Node: a tool is called, at once and streamed", async () => {
    const tools = [{ name: world.tool, input_schema: parameters }];
    const call = { model, max_tokens: 9, messages: asked, tools };
    const plain = await anthropic().messages.create(call);
    for (const answer of [plain, await anthropic().messages.stream(call).finalMessage()]) {
        assert.deepEqual([answer.content[0].name, answer.content[0].input], [world.tool, world.told]);
    }
});

await check("anthropic, Node: refusals are the client's own errors", async () => {
    const message = (more, content = "hello", of = model) =>
        anthropic({ maxRetries: 0, ...more }).messages.create({
            model: of,
            max_tokens: 9,
            messages: [{ role: "user", content }],
        });
    await assert.rejects(message({ apiKey: "none" }), Anthropic.AuthenticationError);
    await assert.rejects(message({ apiKey: world.revoked }), Anthropic.AuthenticationError);
    await assert.rejects(message({}, "hello", other), Anthropic.PermissionDeniedError);
    await assert.rejects(message({ baseURL: `${world.data}/nowhere` }), Anthropic.NotFoundError);
    for (const [status, kind] of Object.entries(errors)) {
        const caught = await message({}, `answer ${status}`).catch((error) => error);
        assert(caught instanceof Anthropic[kind], `${status}: ${caught}`);
        assert.equal(caught.error.error.message, "as asked");
    }
});

// The AI SDK's provider for Baseten

const look = () => tool({ description: "looks a name up", inputSchema: jsonSchema(parameters) });

await check("ai-sdk/baseten: a text is generated, of a model's own server and of many models' one", async () => {
    for (const provider of [baseten(), createBaseten({ baseURL: `${world.data}/v1`, apiKey: world.key })]) {
        const answer = await generateText({ model: provider.chatModel(model), prompt: "what are keys?" });
        assert.equal(answer.text, whole);
    }
});

await check("ai-sdk/baseten: a streamed text comes event by event", async () => {
    const words = [];
    const { textStream } = streamText({ model: baseten().chatModel(model), prompt: "what are keys?" });
    for await (const word of textStream) {
        words.push(word);
        await arrived();
    }
    assert.deepEqual(words, world.words);
});

await check("ai-sdk/baseten: a tool is called, at once and streamed", async () => {
    const told = () => ({
        model: baseten().chatModel(model),
        prompt: "what are keys?",
        tools: { [world.tool]: look() },
    });
    const { toolCalls } = await generateText(told());
    for (const [call] of [toolCalls, await streamText(told()).toolCalls]) {
        assert.deepEqual([call.toolName, call.input], [world.tool, world.told]);
    }
});

await check("ai-sdk/baseten: embeddings come, by itself and by the performance client", async () => {
    const own = baseten().embeddingModel(model);
    assert.deepEqual((await embed({ model: own, value: "keys" })).embedding, world.vector);
    const modelURL = `${world.relay}/models/${model}/sync/v1`;
    const fast = baseten({ modelURL, performanceClient: PerformanceClient }).embeddingModel(model);
    for (const each of [own, fast]) {
        const { embeddings } = await embedMany({ model: each, values: texts });
        assert.deepEqual(
            embeddings,
            texts.map(() => world.vector),
        );
    }
});

await check("ai-sdk/baseten: refusals are its own errors", async () => {
    const status = (more, prompt = "hello", of = model) =>
        generateText({ model: baseten(more).chatModel(of), prompt, maxRetries: 0 }).then(
            () => "answered",
            (error) => (APICallError.isInstance(error) ? error.statusCode : error),
        );
    assert.equal(await status({ apiKey: "none" }), 401);
    assert.equal(await status({ apiKey: world.revoked }), 401);
    assert.equal(await status({}, "hello", other), 403);
    assert.equal(await status({ modelURL: `${world.data}/nowhere/sync/v1` }), 404);
    assert.equal(await status({}, "answer 429"), 429);
    assert.equal(await status({}, "answer 503"), 503);
    const streamed = streamText({
        model: baseten({ apiKey: world.revoked }).chatModel(model),
        prompt: "hello",
        maxRetries: 0,
        onError: () => {},
    });
    const parts = [];
    for await (const part of streamed.fullStream) parts.push(part);
    assert.equal(parts.find((part) => part.type === "error")?.error.statusCode, 401);
    const value = embed({ model: baseten({ apiKey: world.revoked }).embeddingModel(model), value: "a", maxRetries: 0 });
    assert.equal(await value.catch((error) => error.statusCode), 401);
});

// The performance client

await check("performance client, Node: 100 embeddings come in batches", async () => {
    const answer = await performance().embed(texts, model, null, null, null, 8, 4);
    assert.deepEqual(
        answer.data.map((each) => each.embedding),
        texts.map(() => world.vector),
    );
    assert.equal(answer.usage.total_tokens, 100);
});

await check("performance client, Node: texts are ranked and classified, and many posts go at once", async () => {
    // It cannot name a model there, so a key for some models is refused (below).
    const every = performance(world.every);
    const ranked = await every.rerank("which?", ["short", "very long", "a"]);
    assert.deepEqual(ranked.data.map((each) => each.index).sort(), [0, 1, 2]);
    const classes = await every.classify(["a", "b"]);
    assert.deepEqual(
        classes.data.map(([each]) => each.label),
        ["about a", "about b"],
    );
    const posted = await performance().batchPost(
        "/v1/embeddings",
        texts.map((input) => ({ model, input })),
    );
    assert.equal(posted.data.length, texts.length);
});

await check("performance client, Node: refusals are errors that say their status", async () => {
    for (const [call, status] of [
        [() => performance(world.revoked).embed(texts, model), 401],
        [() => performance(world.revoked).rerank("q", ["a"]), 401],
        [() => performance(world.revoked).classify(["a"]), 401],
        [() => performance(world.key, other).embed(texts, other), 403],
        [() => performance().classify(["a"]), 400],
        [() => performance().batchPost("/nowhere", [{}]), 404],
    ]) {
        const caught = await call().then(
            () => "answered",
            (error) => String(error),
        );
        assert.match(caught, new RegExp(`\\b${status}\\b`));
    }
});

// It leaves threads behind that would keep the process.
process.exit(0);
