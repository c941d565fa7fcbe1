// SPDX-License-Identifier: Apache-2.0
// Owns the server of tests that watch it: a real one with a stream of events of the test's own, and a reader of
// that stream over HTTP. Does not fake either.
import { get, type IncomingMessage } from 'node:http'
import type { WatchingOptions } from '../../../../agent/api/watching/routes.ts'
import { createEventStream } from '../../../../agent/telemetry/event-stream.ts'
import { startServer } from '../server-lab.ts'

export const STARTED_AT = 1_790_000_000.25

export async function startWatched(options: Partial<WatchingOptions> = {}) {
  const events = createEventStream({ now: options.now ?? (() => 1_790_000_100_000) })
  const watching: WatchingOptions = {
    events,
    version: '1.2.3',
    startedAt: STARTED_AT,
    now: () => 1_790_000_103_000,
    hasMetrics: true,
    hasPage: true,
    diskWrites: async () => [],
    ...options,
  }
  const api = await startServer({ watching })
  return { ...api, events, [Symbol.asyncDispose]: api[Symbol.asyncDispose] }
}

export interface ReceivedEvent {
  readonly id: string
  readonly event: string
  readonly data: Record<string, unknown>
}

export interface Reader {
  readonly response: IncomingMessage
  /** All that came so far. */
  text(): string
  events(): ReceivedEvent[]
  readonly isEnded: () => boolean
  close(): void
}

/** Reads /v1/events as a browser does. */
export async function readEvents(port: number, lastEventId?: string): Promise<Reader> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const request = get({ host: '127.0.0.1', port, path: '/v1/events', headers }, resolve)
  request.on('error', reject)
  const response = await promise
  let text = ''
  let isEnded = false
  response.setEncoding('utf8')
  response.on('data', (part: string) => {
    text += part
  })
  response.on('error', () => undefined)
  response.on('close', () => {
    isEnded = true
  })
  return {
    response,
    text: () => text,
    events: () => text.split('\n\n').slice(0, -1).flatMap(parseBlock),
    isEnded: () => isEnded,
    close: () => request.destroy(),
  }
}

function parseBlock(block: string): ReceivedEvent[] {
  const fields = Object.fromEntries(
    block.split('\n').map((line) => {
      const at = line.indexOf(': ')
      return [line.slice(0, at), line.slice(at + 2)]
    }),
  )
  const { id, event, data } = fields
  if (id === undefined || event === undefined || data === undefined) return []
  return [{ id, event, data: JSON.parse(data) }]
}
