// SPDX-License-Identifier: Apache-2.0
// Owns sending timings to a StatsD server by UDP, as ironic-lib does: one datagram each, `name:milliseconds|ms`. A server that
// is not there costs nothing but a line in the log. Does not choose what is timed.
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { messageOf } from '../core/errors.ts'
import type { Logger } from './logger.ts'

/** Where work is timed. */
export interface MetricLogger {
  /** Runs the work and sends how long it took, also where it fails. */
  time<T>(name: string, work: () => Promise<T>): Promise<T>
}

export interface StatsdOptions {
  readonly host: string
  readonly port: number
  /** In front of every name, with dots between; empty ones are left out. */
  readonly prefix: readonly string[]
  readonly log: Pick<Logger, 'warn'>
}

/** The host's name is asked for again this long after it was not found, ms. */
const RESOLVE_AGAIN_MS = 60_000
/** That wait for the first answer of the resolver; later ones are left out. */
const MAX_WAITING = 100

export const NO_METRICS: MetricLogger = { time: (_name, work) => work() }

/** Sends until disposed of. */
export function openStatsd({ host, port, prefix, log }: StatsdOptions): MetricLogger & Disposable {
  const front = prefix.filter((part) => part !== '')
  let opened: { readonly socket: Socket; readonly address: string } | undefined
  let waiting: string[] = []
  let isAsking = false
  let nextTryAt = 0
  let isClosed = false
  const failed = (error: unknown) => {
    log.warn({ host, port, reason: messageOf(error) }, 'metrics are not sent')
  }
  const transmit = (line: string) => {
    // a server that is gone is noticed by nobody: that is UDP, and what StatsD chose it for
    opened?.socket.send(line, port, opened.address, () => undefined)
  }
  const open = async () => {
    const { address, family } = await lookup(host)
    if (isClosed) return
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    socket.on('error', failed)
    socket.unref()
    opened = { socket, address }
    for (const line of waiting.splice(0)) transmit(line)
  }
  const send = (line: string) => {
    if (opened || isClosed) return transmit(line)
    if (isAsking) {
      if (waiting.length < MAX_WAITING) waiting.push(line)
      return
    }
    if (performance.now() < nextTryAt) return
    isAsking = true
    waiting = [line]
    open()
      .catch((error: unknown) => {
        nextTryAt = performance.now() + RESOLVE_AGAIN_MS
        failed(error)
      })
      .finally(() => {
        isAsking = false
      })
  }
  return {
    time: async (name, work) => {
      const startedAt = performance.now()
      try {
        return await work()
      } finally {
        const ms = (performance.now() - startedAt).toFixed(3)
        send(`${[...front, name].join('.')}:${ms}|ms`)
      }
    },
    [Symbol.dispose]: () => {
      isClosed = true
      opened?.socket.close()
      opened = undefined
    },
  }
}
