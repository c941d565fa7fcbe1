// SPDX-License-Identifier: Apache-2.0
// Owns what clients without a token do to the agent's API. Does not judge what becomes of it.
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AttackedAgent } from '../support/hostile/attacked-agent.ts'

/** Requests written at once; the agent reads them faster than it answers. */
const BATCH = 500

export interface PipelineOptions {
  readonly count: number
  readonly leastMs: number
  readonly deadlineMs: number
  /** The attacker's address on loopback. */
  readonly from: string
}

export function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
}

/**
 * Sends requests without waiting for answers and reads none; a new connection where one is ended. Goes on until
 * `count` were written and `leastMs` have passed, but not beyond `deadlineMs`.
 * @returns how many were written
 */
export async function pipeline(
  agent: AttackedAgent,
  request: string,
  { count, leastMs, deadlineMs, from }: PipelineOptions,
): Promise<number> {
  const began = performance.now()
  const goesOn = () => {
    const ms = performance.now() - began
    return ms < deadlineMs && (ms < leastMs || sent < count)
  }
  const batch = request.repeat(BATCH)
  let sent = 0
  while (goesOn()) {
    const socket = await agent.connect(from).catch(() => undefined)
    if (socket === undefined) {
      await delay(20)
      continue
    }
    socket.pause()
    while (!socket.destroyed && goesOn()) {
      sent += BATCH
      if (!socket.write(batch)) await drained(socket)
    }
    socket.destroy()
  }
  return sent
}

/** Open connections that have had one answer and say nothing any more. */
export async function idle(
  agent: AttackedAgent,
  count: number,
  from?: string,
): Promise<AsyncDisposable & { readonly sockets: readonly Socket[] }> {
  const sockets: Socket[] = []
  for (let i = 0; i < count; i++) {
    const socket = await agent.connect(from).catch(() => undefined)
    if (socket === undefined) continue
    socket.write(get('/v1/status'))
    socket.resume()
    sockets.push(socket)
  }
  return { sockets, [Symbol.asyncDispose]: async () => end(sockets) }
}

/** Connections that ask, one request each, and never read. */
export async function unread(
  agent: AttackedAgent,
  request: string,
  count: number,
  from?: string,
): Promise<AsyncDisposable & { readonly sockets: readonly Socket[] }> {
  const sockets: Socket[] = []
  for (let i = 0; i < count; i++) {
    const socket = await agent.connect(from).catch(() => undefined)
    if (socket === undefined) continue
    socket.pause()
    socket.write(request)
    sockets.push(socket)
  }
  return { sockets, [Symbol.asyncDispose]: async () => end(sockets) }
}

function end(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy()
}

/** Until what was written has left, the connection has ended, or nothing moves any more. */
async function drained(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.once('drain', resolve)
  socket.once('close', resolve)
  const timer = setTimeout(() => {
    socket.destroy()
    resolve()
  }, 2000)
  await promise
  clearTimeout(timer)
  socket.removeListener('drain', resolve)
  socket.removeListener('close', resolve)
}
