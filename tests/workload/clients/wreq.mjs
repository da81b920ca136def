// SPDX-License-Identifier: BSD-2-Clause
// wreq-js: Rust over BoringSSL, which is linked into the package's library.
import { createTransport, fetch } from "wreq-js";
import { URL_BASE, runRequests } from "./client.mjs";

const transport = await createTransport({ trustStore: "defaultPaths" });

await runRequests(async (request) => {
	const reply = await fetch(URL_BASE + "/v1/chat/completions", {
		transport,
		method: "POST",
		headers: { "content-type": "application/json", authorization: "Bearer none" },
		body: JSON.stringify({ model: "stand-in", messages: [{ role: "user", content: request.prompt }] }),
	});
	request.first();
	const { usage } = await reply.json();
	return { status: reply.status, tokens_in: usage.prompt_tokens, tokens_out: usage.completion_tokens };
});
