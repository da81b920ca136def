// SPDX-License-Identifier: BSD-2-Clause
// What the Node clients here share; see client.py, which does the same.
import { createInterface } from "node:readline";
import { writeSync } from "node:fs";

export const URL_BASE = process.argv[2];

function say(line) {
	const text = Buffer.from(JSON.stringify(line) + "\n");
	for (let at = 0; at < text.length;) {
		try {
			at += writeSync(1, text, at);
		} catch (e) {
			if (e.code !== "EAGAIN")
				throw e;
		}
	}
}

function now() {
	return Number(process.hrtime.bigint());
}

async function run(ask, number) {
	const request = { number, first_ns: null, prompt: "word ".repeat(number), first() { this.first_ns ??= now(); } };
	const start_ns = now();
	const { status, tokens_in, tokens_out } = await ask(request);
	say({ event: "call", number, start_ns, first_ns: request.first_ns, end_ns: now(), status, tokens_in, tokens_out });
}

// ask(request) -> {status, tokens_in, tokens_out}
export async function runRequests(ask) {
	say({ event: "ready" });
	for await (const line of createInterface({ input: process.stdin })) {
		const [count, first] = line.split(" ").map(Number);
		await Promise.all(Array.from({ length: count }, (_, i) => run(ask, first + i)));
		say({ event: "done" });
	}
	process.exit(0);
}
