// SPDX-License-Identifier: BSD-2-Clause
// Node's http2 module: all requests on one connection.
import { connect } from "node:http2";
import { URL_BASE, runRequests } from "./client.mjs";

let session = null;

await runRequests((request) => new Promise((resolve, reject) => {
	session ??= connect(URL_BASE).on("error", reject);
	const stream = session.request({ ":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json",
		authorization: "Bearer none" });
	let status, text = "";
	stream.setEncoding("utf8");
	stream.on("response", (headers) => { request.first(); status = headers[":status"]; });
	stream.on("data", (piece) => { text += piece; });
	stream.on("error", reject);
	stream.on("end", () => {
		const { usage } = JSON.parse(text);
		resolve({ status, tokens_in: usage.prompt_tokens, tokens_out: usage.completion_tokens });
	});
	stream.end(JSON.stringify({ model: "stand-in", messages: [{ role: "user", content: request.prompt }] }));
}));
