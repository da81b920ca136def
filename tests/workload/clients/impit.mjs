// SPDX-License-Identifier: BSD-2-Clause
// impit: Rust over rustls. It takes no certificate of ours.
import { Impit } from "impit";
import { URL_BASE, runRequests } from "./client.mjs";

const impit = new Impit({ ignoreTlsErrors: true });

await runRequests(async (request) => {
	const reply = await impit.fetch(URL_BASE + "/v1/chat/completions", {
		method: "POST",
		headers: { "content-type": "application/json", authorization: "Bearer none" },
		body: JSON.stringify({ model: "stand-in", messages: [{ role: "user", content: request.prompt }] }),
	});
	request.first();
	const { usage } = await reply.json();
	return { status: reply.status, tokens_in: usage.prompt_tokens, tokens_out: usage.completion_tokens };
});
