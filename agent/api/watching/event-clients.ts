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

type Events = Pick<EventReader, 'subscribe' | 'snapshot' | 'since'>

/** @param startedAt of the process, Unix seconds: ids of another one are not taken for ours */
export function createEventClients(events: Events, startedAt: number): EventClients {
  return new Clients(new Replays(events, Math.round(startedAt * 1000).toString(36)), events)
}

class Clients implements EventClients {
  readonly #replays: Replays
  readonly #clients = new Map<ServerResponse, { stuckBeats: number }>()
  readonly #subscription: Disposable
  readonly #heart: NodeJS.Timeout

  constructor(replays: Replays, events: Events) {
    this.#replays = replays
    this.#subscription = events.subscribe((event) => this.#tell(event))
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS)
    this.#heart.unref()
  }

  get count(): number {
    return this.#clients.size
  }

  serve(response: ServerResponse, lastEventId: string | undefined): boolean {
    if (this.#clients.size >= MOST_CLIENTS) return false
    response.writeHead(200, HEAD)
    response.once('close', () => this.#clients.delete(response))
    this.#clients.set(response, { stuckBeats: 0 })
    this.#send(response, `retry: ${RETRY_MS}\n\n${this.#replays.missedBy(lastEventId)}`)
    return true
  }

  endAll(): void {
    for (const response of this.#clients.keys()) response.end()
    this.#clients.clear()
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]()
    clearInterval(this.#heart)
    this.endAll()
  }

  #tell(event: AgentEvent): void {
    if (this.#clients.size === 0) return
    const text = this.#replays.format(event)
    for (const response of [...this.#clients.keys()]) this.#send(response, text)
  }

  #beat(): void {
    for (const [response, client] of this.#clients) {
      client.stuckBeats = response.writableLength > 0 ? client.stuckBeats + 1 : 0
      if (client.stuckBeats >= MOST_STUCK_BEATS) this.#drop(response)
      else this.#send(response, ':\n\n')
    }
  }

  #send(response: ServerResponse, text: string): void {
    response.write(text)
    if (response.writableLength > MOST_UNSENT_BYTES) this.#drop(response)
  }

  #drop(response: ServerResponse): void {
    this.#clients.delete(response)
    response.destroy()
  }
}

/** Events as text, with ids that say of which process they are. */
class Replays {
  readonly #events: Events
  readonly #boot: string

  constructor(events: Events, boot: string) {
    this.#events = events
    this.#boot = boot
  }

  format(event: AgentEvent): string {
    return format(this.#boot, event.id, event.type, event)
  }

  /** What came after this id; where that is too much, or the id is of another process, the state. */
  missedBy(lastEventId: string | undefined): string {
    const [boot, number] = lastEventId?.split('-') ?? []
    const id = Number(number)
    if (boot === this.#boot && Number.isSafeInteger(id)) {
      const { events, isComplete } = this.#events.since(id)
      const text = events.map((event) => this.format(event)).join('')
      if (isComplete && text.length <= MOST_REPLAY_CHARS) return text
    }
    const state = this.#events.snapshot()
    return format(this.#boot, state.lastId, 'state', state)
  }
}

/** JSON has no line feed of its own, so that `data` is one line. */
function format(boot: string, id: number, name: string, data: object): string {
  return `id: ${boot}-${id}\nevent: ${name}\ndata: ${JSON.stringify(publicTexts(toWire(data)))}\n\n`
}
