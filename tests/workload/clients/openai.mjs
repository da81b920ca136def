// SPDX-License-Identifier: BSD-2-Clause
// npm openai: odd requests are streamed.
import OpenAI from "openai";
import { URL_BASE, runRequests } from "./client.mjs";

const client = new OpenAI({ baseURL: URL_BASE + "/v1", apiKey: "none" });

await runRequests(async (request) => {
	const body = { model: "stand-in", messages: [{ role: "user", content: request.prompt }] };
	let usage;
	if (request.number % 2) {
		const stream = await client.chat.completions.create(
			{ ...body, stream: true, stream_options: { include_usage: true } });
		for await (const chunk of stream) {
			request.first();
			usage = chunk.usage ?? usage;
		}
	} else {
		({ usage } = await client.chat.completions.create(body));
	}
	return { status: 200, tokens_in: usage.prompt_tokens, tokens_out: usage.completion_tokens };
});
