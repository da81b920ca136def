// SPDX-License-Identifier: BSD-2-Clause
// npm @anthropic-ai/sdk: odd requests are streamed.
import Anthropic from "@anthropic-ai/sdk";
import { URL_BASE, runRequests } from "./client.mjs";

const client = new Anthropic({ baseURL: URL_BASE, apiKey: "none" });

await runRequests(async (request) => {
	const body = { model: "stand-in", max_tokens: 100, messages: [{ role: "user", content: request.prompt }] };
	let usage;
	if (request.number % 2) {
		const stream = client.messages.stream(body);
		for await (const event of stream)
			request.first();
		({ usage } = await stream.finalMessage());
	} else {
		({ usage } = await client.messages.create(body));
	}
	const tokens_in = usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens;
	return { status: 200, tokens_in, tokens_out: usage.output_tokens };
});
