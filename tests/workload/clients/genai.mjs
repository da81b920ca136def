// SPDX-License-Identifier: BSD-2-Clause
// npm @google/genai: odd requests are streamed.
import { GoogleGenAI } from "@google/genai";
import { URL_BASE, runRequests } from "./client.mjs";

const client = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: URL_BASE } });

await runRequests(async (request) => {
	const body = { model: "stand-in", contents: request.prompt };
	let usage;
	if (request.number % 2) {
		for await (const chunk of await client.models.generateContentStream(body)) {
			request.first();
			usage = chunk.usageMetadata ?? usage;
		}
	} else {
		usage = (await client.models.generateContent(body)).usageMetadata;
	}
	const tokens_out = usage.candidatesTokenCount + (usage.thoughtsTokenCount ?? 0);
	return { status: 200, tokens_in: usage.promptTokenCount, tokens_out };
});
