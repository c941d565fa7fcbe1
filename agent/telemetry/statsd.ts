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
export function openStatsd(options: StatsdOptions): MetricLogger & Disposable {
  const front = options.prefix.filter((part) => part !== '')
  const server = new StatsdServer(options)
  return {
    time: async (name, work) => {
      const startedAt = performance.now()
      try {
        return await work()
      } finally {
        const ms = (performance.now() - startedAt).toFixed(3)
        server.send(`${[...front, name].join('.')}:${ms}|ms`)
      }
    },
    [Symbol.dispose]: () => server.close(),
  }
}

/** Where the lines go, once its name has an address. */
class StatsdServer {
  readonly #options: Pick<StatsdOptions, 'host' | 'port' | 'log'>
  #opened: { readonly socket: Socket; readonly address: string } | undefined
  #waiting: string[] = []
  #isAsking = false
  #nextTryAt = 0
  #isClosed = false

  constructor(options: Pick<StatsdOptions, 'host' | 'port' | 'log'>) {
    this.#options = options
  }

  send(line: string): void {
    if (this.#isClosed) return
    if (this.#opened) this.#transmit(line)
    else if (this.#isAsking) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(line)
    } else if (performance.now() >= this.#nextTryAt) {
      this.#waiting = [line]
      void this.#open()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#opened?.socket.close()
    this.#opened = undefined
  }

  async #open(): Promise<void> {
    this.#isAsking = true
    try {
      const { address, family } = await lookup(this.#options.host)
      if (this.#isClosed) return
      const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
      socket.on('error', (error) => this.#failed(error))
      socket.unref()
      this.#opened = { socket, address }
      for (const line of this.#waiting.splice(0)) this.#transmit(line)
    } catch (error) {
      this.#nextTryAt = performance.now() + RESOLVE_AGAIN_MS
      this.#failed(error)
    } finally {
      this.#isAsking = false
    }
  }

  #transmit(line: string): void {
    // a server that is gone is noticed by nobody: that is UDP, and what StatsD chose it for
    const { socket, address } = this.#opened ?? {}
    socket?.send(line, this.#options.port, address, () => undefined)
  }

  #failed(error: unknown): void {
    const { host, port, log } = this.#options
    log.warn({ host, port, reason: messageOf(error) }, 'metrics are not sent')
  }
}
