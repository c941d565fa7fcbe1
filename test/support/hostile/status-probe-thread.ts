// SPDX-License-Identifier: Apache-2.0
// Owns the thread of status-probe.ts: measures until it is told to stop. Does not judge.
import { once } from 'node:events'
import { Agent, createServer, get as getHttp } from 'node:http'
import { get as getTls, Agent as TlsAgent } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'

const INTERVAL_MS = 20
const TIMEOUT_MS = 30_000

const { agentUrl } = workerData as { agentUrl: string }
const status = new URL('/v1/status', agentUrl)
const plain = new Agent({ keepAlive: true, maxSockets: 1 })
const tls = new TlsAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })

const bare = createServer((_request, response) => response.end('{}'))
bare.listen(0, '127.0.0.1')
await once(bare, 'listening')
const bareUrl = new URL(`http://127.0.0.1:${(bare.address() as AddressInfo).port}/`)

let isStopped = false
parentPort?.once('message', () => {
  isStopped = true
})
const agent: number[] = []
const machine: number[] = []
parentPort?.postMessage('ready')
await Promise.all([watch(status, agent), watch(bareUrl, machine)])
parentPort?.postMessage({ agent, machine })

async function watch(url: URL, times: number[]): Promise<void> {
  while (!isStopped) {
    times.push(await timeOf(url))
    await delay(INTERVAL_MS)
  }
}

/** Infinity where there was no answer of 200. */
function timeOf(url: URL): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const began = performance.now()
  const options = { timeout: TIMEOUT_MS }
  const request =
    url.protocol === 'https:'
      ? getTls(url, { ...options, agent: tls })
      : getHttp(url, { ...options, agent: plain })
  request.on('timeout', () => request.destroy())
  request.on('error', () => resolve(Number.POSITIVE_INFINITY))
  request.on('response', (response) => {
    response.resume()
    response.on('error', () => resolve(Number.POSITIVE_INFINITY))
    response.on('end', () =>
      resolve(response.statusCode === 200 ? performance.now() - began : Number.POSITIVE_INFINITY),
    )
  })
  return promise
}
