// SPDX-License-Identifier: BSD-2-Clause
// The calls of grpc_stores.py's client, by @grpc/grpc-js (found by NODE_PATH): the same lines.
// usage: grpc_stores.js PORTS CALLS N WARM   PORTS, CALLS: as JSON, [system, path, name] each; WARM: paths by system, or ""
'use strict'
const grpc = require('@grpc/grpc-js')

const [ports, calls] = [JSON.parse(process.argv[2]), JSON.parse(process.argv[3])]
const [many, warm] = [Number(process.argv[4]), JSON.parse(process.argv[5] || '{}')]
const say = (event, fields) => console.log(JSON.stringify({ ...fields, event }))
const same = (bytes) => bytes

// ---- Protocol Buffers, by hand

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
    const key = take()
    if ((key & 7) === 1) {
      out[key >> 3] = b.readDoubleLE(at)
      at += 8
    } else {
      const v = take()
      out[key >> 3] = (key & 7) === 2 ? b.subarray(at, (at += v)) : v
    }
  }
  return out
}

function hidden(system, reply) {
  const told = fields(reply)
  if (system === 'milvus') {
    const code = fields(told[1])[3] || 0
    return [code ? `milvus_${code}` : null, 0]
  }
  return system === 'weaviate' ? [told[2] ? 'batch_error' : null, 0] : [null, told[2] * 1000]
}

// ---- calls

const clients = Object.fromEntries(Object.entries(ports).map(([system, port]) =>
  [system, new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())]))

function request(system, method, name) {
  const body = name ? Buffer.concat([Buffer.from([10, name.length]), Buffer.from(name)]) : Buffer.alloc(0)
  return new Promise((resolve) => {
    clients[system].makeUnaryRequest(method, same, same, body, (error, reply) => resolve([error, reply]))
  })
}

async function ask([system, method, name]) {
  const start = process.hrtime.bigint()
  const [error, reply] = await request(system, method, name)
  const ms = Number(process.hrtime.bigint() - start) / 1e6
  const [kind, worked] = error ? [grpc.status[error.code], 0] : hidden(system, reply)
  say('call', { system, op: method.slice(method.lastIndexOf('/') + 1), kind, worked, ms })
}

async function main() {
  for (const [system, method] of Object.entries(warm)) await request(system, method, '')
  say('gate')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  if (many === 1) for (const call of calls) await ask(call)
  else await Promise.all(Array.from({ length: many }, (_, i) => ask(calls[i % calls.length])))
  for (const client of Object.values(clients)) client.close()
  process.stdin.destroy()
  say('done')
}
main()
