// SPDX-License-Identifier: Apache-2.0
// Owns the stream of events of one process: ids, order and who is told. Does not keep them (event-history.ts), does not
// decide what is said (core/events.ts) nor what is made of it (core/agent-state.ts, readers).
import { type AgentState, INITIAL_STATE, nextState } from '../core/agent-state.ts'
import type { AgentEvent, EventPublisher } from '../core/events.ts'
import { MiB } from '../core/units.ts'
import { EventHistory, type Replay } from './event-history.ts'
import { warn } from './operation.ts'
import { sealEvent } from './sealed-event.ts'

export interface EventStreamOptions {
  /** Wall clock, ms since the epoch. */
  readonly now: () => number
  /** Bounds on the history; 500 events and 1 MiB of JSON unless given. */
  readonly maxEvents?: number
  readonly maxChars?: number
}

/** What readers are given. */
export interface EventReader {
  /**
   * Calls `on` with each event from now on, in the order of ids, until disposed of. It is called while
   * the publisher waits, so it must be quick: a slow reader keeps the last id it has dealt with and asks
   * since(). What it returns is not waited for; what it throws harms nobody, and becomes a warning once.
   */
  subscribe(on: (event: AgentEvent) => unknown): Disposable
  /** All events so far, folded. */
  snapshot(): AgentState
  /** What came after the event `id`, as Server-Sent Events ask by Last-Event-ID; 0 for all that is kept. */
  since(id: number): Replay
}

/** The one way news travels upward. One per process; whoever speaks is given the publisher alone. */
export interface EventStream extends EventPublisher, EventReader {}

interface Subscriber {
  readonly on: (event: AgentEvent) => unknown
  hasFailed: boolean
}

/** A subscriber may publish; one that answers each event with another must not keep the agent busy for ever. */
const MAX_ANSWERS = 100

/** A stream without events. */
export function createEventStream(options: EventStreamOptions): EventStream {
  const { now, maxEvents = 500, maxChars = MiB } = options
  const history = new EventHistory({ maxEvents, maxChars })
  let state = INITIAL_STATE
  let answers = 0
  const publish: EventPublisher['publish'] = (news) => {
    if (audience.isTelling) {
      if (answers >= MAX_ANSWERS) return
      answers += 1
    } else answers = 0
    const sealed = sealEvent({ ...news, id: state.lastId + 1, at: now() })
    state = nextState(state, sealed.event)
    history.keep(sealed)
    audience.tell(sealed.event)
  }
  const audience = new Audience((error) =>
    warn({ publish }, 'subscriber of events failed', {}, error),
  )
  return {
    publish,
    subscribe: (on) => audience.add(on),
    snapshot: () => state,
    since: (id) => history.since(id, state.lastId),
  }
}

/** Those who are told. */
class Audience {
  readonly #subscribers = new Set<Subscriber>()
  readonly #onFailure: (error: unknown) => void
  #untold: AgentEvent[] = []

  /** @param onFailure hears of the first failure of each */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure
  }

  /** Whoever speaks now answers an event. */
  get isTelling(): boolean {
    return this.#untold.length > 0
  }

  add(on: Subscriber['on']): Disposable {
    const subscriber: Subscriber = { on, hasFailed: false }
    this.#subscribers.add(subscriber)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) }
  }

  /** Events of subscribers wait for their turn: everybody hears everything in the order of ids. */
  tell(event: AgentEvent): void {
    const isAnswer = this.isTelling
    this.#untold.push(event)
    if (isAnswer) return
    for (let next = this.#untold[0]; next; next = this.#untold[0]) {
      for (const subscriber of [...this.#subscribers]) {
        if (this.#subscribers.has(subscriber)) this.#tellOne(subscriber, next)
      }
      this.#untold = this.#untold.slice(1)
    }
  }

  #tellOne(subscriber: Subscriber, event: AgentEvent): void {
    try {
      const answer = subscriber.on(event)
      if (answer instanceof Promise) {
        answer.catch((error: unknown) => this.#failed(subscriber, error))
      }
    } catch (error) {
      this.#failed(subscriber, error)
    }
  }

  #failed(subscriber: Subscriber, error: unknown): void {
    if (subscriber.hasFailed) return
    subscriber.hasFailed = true
    this.#onFailure(error)
  }
}
