// SPDX-License-Identifier: Apache-2.0
// Owns those who read the stream of events over HTTP (Server-Sent Events, HTML Standard 9.2): how many there are, what
// each has missed, and when one is too slow. Does not route.
import type { ServerResponse } from 'node:http'
import type { AgentEvent } from '../../core/events.ts'
import { KiB } from '../../core/units.ts'
import type { EventReader } from '../../telemetry/event-stream.ts'
import { publicTexts } from './public-text.ts'
import { toWire } from './wire.ts'

/** A person has a tab, a fleet one or two programs; fewer than one host may hold connections. */
export const MOST_CLIENTS = 24
/** Proxies close what is silent for half a minute; a reader that is gone is noticed by it. */
const HEARTBEAT_MS = 10_000
/** Not taken by the client, bytes; several of the largest events. */
const MOST_UNSENT_BYTES = 512 * KiB
/** So many heartbeats in a row that did not leave: the client is gone, or sleeps. */
const MOST_STUCK_BEATS = 6
/** What was missed is sent as it was up to this many characters, else as a state. */
const MOST_REPLAY_CHARS = 128 * KiB
/** A browser that has lost the stream comes again after this long, ms. */
const RETRY_MS = 3000

const HEAD = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // nginx would keep events back
  'x-accel-buffering': 'no',
} as const

export interface EventClients extends Disposable {
  readonly count: number
  /**
   * Answers with what came after `lastEventId`, and goes on until the client or the server ends. False where there
   * are too many clients already: nothing has been answered.
   */
  serve(response: ServerResponse, lastEventId: string | undefined): boolean
  /** Says goodbye to all. */
  endAll(): void
}

/** @param startedAt of the process, Unix seconds: ids of another one are not taken for ours */
export function createEventClients(
  events: Pick<EventReader, 'subscribe' | 'snapshot' | 'since'>,
  startedAt: number,
): EventClients {
  const clients = new Map<ServerResponse, { stuckBeats: number }>()
  const boot = Math.round(startedAt * 1000).toString(36)

  const drop = (response: ServerResponse) => {
    clients.delete(response)
    response.destroy()
  }
  const send = (response: ServerResponse, text: string) => {
    response.write(text)
    if (response.writableLength > MOST_UNSENT_BYTES) drop(response)
  }
  const formatEvent = (event: AgentEvent) => format(boot, event.id, event.type, event)
  const missedBy = (lastEventId: string | undefined): string => {
    const [bootThen, number] = lastEventId?.split('-') ?? []
    const id = Number(number)
    if (bootThen === boot && Number.isSafeInteger(id)) {
      const { events: missed, isComplete } = events.since(id)
      const text = missed.map(formatEvent).join('')
      if (isComplete && text.length <= MOST_REPLAY_CHARS) return text
    }
    const state = events.snapshot()
    return format(boot, state.lastId, 'state', state)
  }

  const subscription = events.subscribe((event) => {
    if (clients.size === 0) return
    const text = formatEvent(event)
    for (const response of [...clients.keys()]) send(response, text)
  })
  const heart = setInterval(() => {
    for (const [response, client] of clients) {
      client.stuckBeats = response.writableLength > 0 ? client.stuckBeats + 1 : 0
      if (client.stuckBeats >= MOST_STUCK_BEATS) drop(response)
      else send(response, ':\n\n')
    }
  }, HEARTBEAT_MS)
  heart.unref()
  const endAll = () => {
    for (const response of clients.keys()) response.end()
    clients.clear()
  }

  return {
    get count() {
      return clients.size
    },
    serve: (response, lastEventId) => {
      if (clients.size >= MOST_CLIENTS) return false
      response.writeHead(200, HEAD)
      response.once('close', () => clients.delete(response))
      clients.set(response, { stuckBeats: 0 })
      send(response, `retry: ${RETRY_MS}\n\n${missedBy(lastEventId)}`)
      return true
    },
    endAll,
    [Symbol.dispose]: () => {
      subscription[Symbol.dispose]()
      clearInterval(heart)
      endAll()
    },
  }
}

/** JSON has no line feed of its own, so that `data` is one line. */
function format(boot: string, id: number, name: string, data: object): string {
  return `id: ${boot}-${id}\nevent: ${name}\ndata: ${JSON.stringify(publicTexts(toWire(data)))}\n\n`
}
