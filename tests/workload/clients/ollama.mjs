// SPDX-License-Identifier: BSD-2-Clause
// npm ollama: odd requests are streamed.
import { Ollama } from "ollama";
import { URL_BASE, runRequests } from "./client.mjs";

const client = new Ollama({ host: URL_BASE });

await runRequests(async (request) => {
	const body = { model: "stand-in", messages: [{ role: "user", content: request.prompt }] };
	let last;
	if (request.number % 2) {
		for await (const part of await client.chat({ ...body, stream: true })) {
			request.first();
			last = part;
		}
	} else {
		last = await client.chat(body);
	}
	return { status: 200, tokens_in: last.prompt_eval_count, tokens_out: last.eval_count };
});
