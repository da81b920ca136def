// SPDX-License-Identifier: BSD-2-Clause
// The calls of grpc_pair.py's client, by @grpc/grpc-js (found by NODE_PATH): the same arguments, the same lines.
// usage: grpc_client.js PORT [--calls N] [--warm]
'use strict'
const grpc = require('@grpc/grpc-js')

const SERVICE = 'google.ai.generativelanguage.v1beta.GenerativeService'
const [port, ...options] = process.argv.slice(2)
const calls = Number(options[options.indexOf('--calls') + 1])
const say = (event, fields) => console.log(JSON.stringify({ ...fields, event }))
const now = () => Number(process.hrtime.bigint())
const same = (bytes) => bytes

// ---- Protocol Buffers, by hand

function varint(v) {
  const out = []
  for (; v > 127; v >>>= 7) out.push((v & 127) | 128)
  return Buffer.from([...out, v])
}

function chunk(field, what) {
  const b = Buffer.from(what)
  return Buffer.concat([varint((field << 3) | 2), varint(b.length), b])
}

function fields(b) {
  const out = {}
  let at = 0
  const take = () => {
    let v = 0
    for (let shift = 0; ; shift += 7) {
      v |= (b[at] & 127) << shift
      if (!(b[at++] & 128)) return v
    }
  }
  while (at < b.length) {
    const key = take(), v = take()
    out[key >> 3] = (key & 7) === 2 ? b.subarray(at, (at += v)) : v
  }
  return out
}

// ---- calls

function ask(client, i, kind, timeout) {
  const method = kind.endsWith('Content') ? `/${SERVICE}/${kind}` : `/${kind}`
  const content = Buffer.concat([chunk(1, chunk(2, 'word '.repeat(i + 1))), chunk(2, 'user')])
  const request = Buffer.concat([chunk(1, 'models/gemini-stand-in'), chunk(2, content)])
  const how = timeout ? { deadline: Date.now() + timeout } : {}
  return new Promise((resolve) => {
    const start = now()
    const ended = (error, last) => {
      const usage = last && last.length ? fields(fields(last)[3] || Buffer.alloc(0)) : {}
      say('call', { i, kind, status: error ? grpc.status[error.code] : 'OK', tokens_in: usage[1] ?? null,
        tokens_out: usage[2] ?? null, start_ns: start, end_ns: now() })
      resolve()
    }
    if (kind !== 'StreamGenerateContent') {
      client.makeUnaryRequest(method, same, same, request, how, ended)
      return
    }
    let last
    const stream = client.makeServerStreamRequest(method, same, same, request, how)
    stream.on('data', (message) => { last = message })
    stream.on('error', (error) => ended(error))
    stream.on('end', () => ended(null, last))
  })
}

async function main() {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  if (options.includes('--warm')) await ask(client, 0, 'GenerateContent')
  say('gate')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  await ask(client, 1, 'grpc.health.v1.Health/Check')
  await Promise.all(Array.from({ length: calls }, (_, i) => ask(client, i + 1, 'GenerateContent')))
  await ask(client, 12, 'GenerateContent')
  await ask(client, 3, 'StreamGenerateContent')
  await ask(client, 2, 'a.Store/Slow', 100)
  client.close()
  process.stdin.destroy()
  say('done')
}
main()
