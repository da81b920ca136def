// SPDX-License-Identifier: BSD-2-Clause
// Many requests at once on one HTTP/2 connection, by Node's http2 module; the lines are those of h2_client.py.
// usage: h2_client.js URL CALLS
'use strict'
const http2 = require('node:http2')

const [url, calls] = [process.argv[2], Number(process.argv[3])]
const say = (event, fields) => console.log(JSON.stringify({ ...fields, event }))
const now = () => Number(process.hrtime.bigint())

function ask(session, i) {
  const body = JSON.stringify({ model: 'stand-in', messages: [{ role: 'user', content: 'word '.repeat(i + 1) }] })
  return new Promise((resolve, reject) => {
    const start = now()
    const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json' })
    let text = '', status
    stream.on('response', (headers) => { status = headers[':status'] })
    stream.setEncoding('utf8')
    stream.on('data', (piece) => { text += piece })
    stream.on('error', reject)
    stream.on('end', () => {
      const end = now(), usage = JSON.parse(text).usage
      say('call', { i, status, tokens_in: usage.prompt_tokens, tokens_out: usage.completion_tokens, start_ns: start, end_ns: end })
      resolve()
    })
    stream.end(body)
  })
}

async function main() {
  say('gate')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  const session = http2.connect(url)
  await Promise.all(Array.from({ length: calls }, (_, i) => ask(session, i + 1)))
  session.close()
  process.stdin.destroy()
  say('done')
}
main()
