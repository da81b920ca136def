// SPDX-License-Identifier: BSD-2-Clause
// As store_client.py, for Node: store_client.js CLIENT ADDRESS early|late [CALLS AT ONCE]; CLIENT is neo4j-driver, mongodb,
// ioredis or pg. NODE_PATH says where they are.
'use strict';
const [client, address, when, many] = process.argv.slice(2);
const [host, port] = [address.slice(0, address.lastIndexOf(':')), Number(address.slice(address.lastIndexOf(':') + 1))];

async function timed(op, action, fails = false, slow = false) {
	const start = process.hrtime.bigint();
	let failed = false;
	await action().catch(() => { failed = true; });
	const ms = Number(process.hrtime.bigint() - start) / 1e6;
	if (failed !== fails)
		throw new Error(op);
	console.log(JSON.stringify({ op, ms, error: failed, slow }));
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
				await timed('CREATE', () => run('CREATE (n:SLOW)'), false, true);
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
				await timed('find', () => table.findOne({ slow: 50 }), false, true);
				await timed('insert', () => table.insertOne({ _id: 'twice' }), true);
				await timed('update', () => table.updateOne({ a: 1 }, { $set: { b: 2 } }));
			},
			end: () => mongo.close(),
		};
	},
	ioredis: async () => {
		const Redis = require('ioredis');
		const redis = new Redis({ host, port, lazyConnect: true });
		return {
			connect: () => redis.ping(),
			work: async () => {
				await timed('SET', () => redis.set('node', 'text'));
				await timed('GET', () => redis.get('node'));
				await timed('SADD', () => redis.sadd('node', 'x'), true);
			},
			end: () => redis.quit(),
		};
	},
	pg: async () => {
		const { Pool } = require('pg');
		const pool = new Pool({ host, port, user: 'bench', database: 'postgres' });
		return {
			connect: () => pool.query('SELECT 1'),
			work: async () => {
				await timed('SELECT', () => pool.query('SELECT * FROM memory'));
				await timed('SELECT', () => pool.query('SELECT pg_sleep($1)', [0.05]), false, true);
				await timed('INSERT', () => pool.query('INSERT INTO nowhere VALUES (1)'), true);
			},
			end: () => pool.end(),
		};
	},
};

(async () => {
	const it = await clients[client]();
	if (when === 'early')
		await it.connect();
	console.log('ready');
	await new Promise((resolve) => process.stdin.once('data', resolve));
	process.stdin.pause();
	await Promise.all(Array.from({ length: Number(many || 1) }, () => it.work()));
	await it.end();
})();
