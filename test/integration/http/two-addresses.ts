// SPDX-License-Identifier: Apache-2.0
// Owns the program of two-addresses.test.ts: in a network of its own it fetches from a host with two
// addresses, of which one is dead and the other takes a second to let anybody in. Prints what came.
import { spawn } from 'node:child_process'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createHttpClient } from '../../../agent/http/client.ts'
import { PLAIN_CLIENT } from '../../support/http-lab.ts'

const PORT = 8088
const [host = ''] = process.argv.slice(2)

/** Lets nobody in until it is told: its queue is full, so that the kernel drops SYN and the client sends it again. */
const server = spawn(
  process.execPath,
  [
    '--eval',
    `const server = require('node:http').createServer((_, response) => response.end('here'))
     server.listen({ port: ${PORT}, host: '127.0.0.1', backlog: 1 }, () => {
       require('node:fs').writeSync(1, 'listening')
       require('node:fs').readSync(0, Buffer.alloc(1))
     })`,
  ],
  { stdio: ['pipe', 'pipe', 'inherit'] },
)
await new Promise((resolve) => server.stdout.once('data', resolve))
const fillers = Array.from({ length: 4 }, () => net.connect(PORT, '127.0.0.1'))
for (const filler of fillers) filler.on('error', () => {})
await delay(100)
await using client = createHttpClient({ config: PLAIN_CLIENT })
try {
  const asking = client.request(`http://${host}:${PORT}/`)
  // longer than Node waits for an address by itself, shorter than it takes until SYN is sent again
  setTimeout(() => server.stdin.write('x'), 600)
  console.log((await asking).text())
} catch (error) {
  console.log((error as Error).message)
} finally {
  for (const filler of fillers) filler.destroy()
  server.kill()
}
