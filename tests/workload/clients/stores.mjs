// SPDX-License-Identifier: BSD-2-Clause
// npm @qdrant/js-client-rest and typesense against stand-ins whose URLs stand in the environment. For each empty line on stdin
// one round, for a number so many slow searches of each at once, timed; each operation is told as the client saw it end: {"event": "call", "system", "op", "status", "kind"}.
import readline from "node:readline";
import { QdrantClient } from "@qdrant/js-client-rest";
import Typesense from "typesense";

const say = (event) => console.log(JSON.stringify(event));
const tell = (system, op, status = "ok", kind = null) => say({ event: "call", system, op, status, kind });

const qdrant = new QdrantClient({ url: process.env.L3_QDRANT_URL, checkCompatibility: false });
const at = new URL(process.env.MEMORY_L4_TYPESENSE_URL);
const typesense = new Typesense.Client({
	nodes: [{ host: at.hostname, port: Number(at.port), protocol: "http" }],
	apiKey: "key", numRetries: 0, connectionTimeoutSeconds: 30,
});

async function roundQdrant() {
	await qdrant.upsert("facts", { wait: true, points: [{ id: 1, vector: [0.1, 0.2], payload: { a: "b" } }] });
	tell("qdrant", "upsert");
	await qdrant.query("facts", { query: [0.1, 0.2], limit: 1 });
	tell("qdrant", "query");
	await qdrant.scroll("facts", { limit: 1 });
	tell("qdrant", "scroll");
	await qdrant.count("facts");
	tell("qdrant", "count");
	await qdrant.getCollections();
	tell("qdrant", "list collections");
	await qdrant.query("bad", { query: [0.1], limit: 1 }).catch((e) => tell("qdrant", "query", "error", `http_${e.status}`));
}

async function roundTypesense() {
	const notes = typesense.collections("notes").documents();

	await notes.search({ q: "x", query_by: "text" });
	tell("typesense", "search");
	await notes.upsert({ id: "1", text: "t" });
	tell("typesense", "upsert");
	await notes.import([{ id: "1" }], { action: "upsert" });
	tell("typesense", "import");
	await notes.import([{ id: "1" }, { id: "bad" }]).catch(() => tell("typesense", "import", "error", "import_error"));
	const { results } = await typesense.multiSearch.perform({ searches: [{ collection: "bad", q: "x" }] });
	tell("typesense", "multi_search", results[0].error ? "error" : "ok", results[0].error ? "search_error" : null);
	await typesense.health.retrieve();
	tell("typesense", "health");
}

async function timed(system, op, action) {
	const start = process.hrtime.bigint();
	await action();
	say({ event: "call", system, op, status: "ok", kind: null, ms: Number(process.hrtime.bigint() - start) / 1e6 });
}

const slow = [
	() => timed("qdrant", "query", () => qdrant.query("slow", { query: [0.1, 0.2], limit: 1 })),
	() => timed("typesense", "search", () => typesense.collections("slow").documents().search({ q: "x", query_by: "text" })),
];

say({ event: "ready", pid: process.pid });
for await (const line of readline.createInterface({ input: process.stdin })) {
	if (line)
		for (const search of slow)
			await Promise.all(Array.from({ length: Number(line) }, search));
	else {
		await roundQdrant();
		await roundTypesense();
	}
	say({ event: "round" });
}
