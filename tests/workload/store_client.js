// SPDX-License-Identifier: BSD-2-Clause
// As store_client.py, for Node: store_client.js CLIENT ADDRESS early|late [CALLS AT ONCE [CA]]; CLIENT is neo4j-driver, mongodb,
// ioredis, pg, or pg/client, one connection for all. NODE_PATH says where they are, NODE_EXTRA_CA_CERTS has the CA.
'use strict';
const [client, address, when, many, ca] = process.argv.slice(2);
const SLOW_MS = 50;
const [host, port] = [address.slice(0, address.lastIndexOf(':')), Number(address.slice(address.lastIndexOf(':') + 1))];

// early: the client says how it ended before the reply is complete
async function timed(op, action, fails = false, slow = 0, early = false) {
	const start = process.hrtime.bigint();
	let failed = false;
	await action().catch(() => { failed = true; });
	const ms = Number(process.hrtime.bigint() - start) / 1e6;
	if (failed !== fails)
		throw new Error(op);
	console.log(JSON.stringify({ op, ms: early ? null : ms, error: failed, slow }));
}

const clients = {
	'neo4j-driver': async () => {
		const neo4j = require('neo4j-driver');
		const driver = neo4j.driver('bolt://' + address, neo4j.auth.basic('bench', 'bench'));
		const run = async (text) => {
			const session = driver.session();
			try { await session.run(text); } finally { await session.close(); }
		};
		return {
			connect: () => run('RETURN 1'),
			work: async () => {
				await timed('MATCH', () => run('MATCH (n) RETURN n'));
				await timed('CREATE', () => run('CREATE (n:SLOW)'), false, SLOW_MS);
				await timed('RUN', () => run('FAIL'), true);
				await timed('MERGE', () => run('MERGE (n {a: 1})'));
			},
			end: () => driver.close(),
		};
	},
	mongodb: async () => {
		const { MongoClient } = require('mongodb');
		const mongo = new MongoClient('mongodb://' + address);
		const table = mongo.db('bench').collection('memory');
		return {
			connect: () => mongo.db('admin').command({ ping: 1 }),
			work: async () => {
				await timed('insert', () => table.insertOne({ a: 1 }));
				await timed('find', () => table.findOne({ slow: 50 }), false, SLOW_MS);
				await timed('insert', () => table.insertOne({ _id: 'twice' }), true);
				await timed('update', () => table.updateOne({ a: 1 }, { $set: { b: 2 } }));
			},
			end: () => mongo.close(),
		};
	},
	ioredis: async () => {
		const Redis = require('ioredis');
		const redis = new Redis({ host, port, lazyConnect: true, ...(ca ? { tls: {} } : {}) });
		return {
			connect: () => redis.ping(),
			work: async () => {
				await timed('SET', () => redis.set('node', 'text'));
				await timed('GET', () => redis.get('node'));
				await timed('WAIT', () => redis.wait(1, SLOW_MS), false, SLOW_MS);
				await timed('SADD', () => redis.sadd('node', 'x'), true);
			},
			end: () => redis.quit(),
		};
	},
	pg: async () => {
		const { Pool } = require('pg');
		const pool = new Pool({ ...place, max: Number(many || 1) });
		const connections = Array.from({ length: Number(many || 1) });
		return {
			connect: async () => (await Promise.all(connections.map(() => pool.connect()))).forEach((c) => c.release()),
			work: () => queries(pool, SLOW_MS),
			end: () => pool.end(),
		};
	},
	'pg/client': async () => {
		const { Client } = require('pg');
		const one = new Client(place);
		return {
			connect: () => one.connect(),
			begin: () => one.connect(),
			work: () => queries(one, 5),
			end: () => one.end(),
		};
	},
};

const place = { host, port, user: 'bench', database: 'postgres', ssl: Boolean(ca) };

async function queries(on, ms) {
	await timed('SELECT', () => on.query('SELECT * FROM memory'));
	await timed('SELECT', () => on.query('SELECT pg_sleep($1)', [ms / 1000]), false, ms);
	await timed('INSERT', () => on.query('INSERT INTO nowhere VALUES (1)'), true, 0, true);
}

(async () => {
	const it = await clients[client]();
	if (when === 'early')
		await it.connect();
	console.log('ready');
	await new Promise((resolve) => process.stdin.once('data', resolve));
	process.stdin.pause();
	if (when === 'late' && it.begin)
		await it.begin();
	await Promise.all(Array.from({ length: Number(many || 1) }, () => it.work()));
	await it.end();
})();
