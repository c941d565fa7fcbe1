// SPDX-License-Identifier: Apache-2.0
// Owns the stream of events of one process: ids, order, who is told, and the bounded memory of what was.
// Does not decide what is said (core/events.ts) nor what is made of it (core/agent-state.ts, readers).
import { type AgentState, INITIAL_STATE, nextState } from '../core/agent-state.ts'
import { EVENT_TABLE } from '../core/event-table.ts'
import type { AgentEvent, EventPublisher, EventType } from '../core/events.ts'
import { MiB } from '../core/units.ts'
import { warn } from './operation.ts'
import { type SealedEvent, sealEvent } from './sealed-event.ts'

export interface EventStreamOptions {
  /** Wall clock, ms since the epoch. */
  readonly now: () => number
  /** Bounds on the history; 500 events and 1 MiB of JSON unless given. */
  readonly maxEvents?: number
  readonly maxChars?: number
}

/** What a reader missed. */
export interface Replay {
  /** Oldest first. Of figures (`keeps: latest`) only the newest of each type. */
  readonly events: readonly AgentEvent[]
  /**
   * False if an event after the asked id has been let go, or if that id is none of this stream (the
   * process was started anew): begin with snapshot() then.
   */
  readonly isComplete: boolean
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
  const subscribers = new Set<Subscriber>()
  const figures = new Map<EventType, AgentEvent>()
  const history: SealedEvent[] = []
  let historyChars = 0
  /** Id of the newest event that is in the history no more. */
  let lostId = 0
  let state = INITIAL_STATE
  let undelivered: AgentEvent[] = []
  let answers = 0

  const keep = (sealed: SealedEvent) => {
    const { event, chars } = sealed
    if (EVENT_TABLE[event.type].keeps === 'latest') {
      figures.set(event.type, event)
      return
    }
    history.push(sealed)
    historyChars += chars
    while (history.length > maxEvents || historyChars > maxChars) {
      const lost = history.shift() as SealedEvent
      historyChars -= lost.chars
      lostId = lost.event.id
    }
  }

  const failed = (subscriber: Subscriber, error: unknown) => {
    if (subscriber.hasFailed) return
    subscriber.hasFailed = true
    warn({ publish }, 'subscriber of events failed', {}, error)
  }

  const tell = (subscriber: Subscriber, event: AgentEvent) => {
    try {
      const answer = subscriber.on(event)
      if (answer instanceof Promise) answer.catch((error: unknown) => failed(subscriber, error))
    } catch (error) {
      failed(subscriber, error)
    }
  }

  /** Events of subscribers wait for their turn: everybody hears everything in the order of ids. */
  const deliver = () => {
    answers = 0
    for (let event = undelivered[0]; event; event = undelivered[0]) {
      for (const subscriber of [...subscribers]) {
        if (subscribers.has(subscriber)) tell(subscriber, event)
      }
      undelivered = undelivered.slice(1)
    }
  }

  const publish: EventPublisher['publish'] = (news) => {
    const isAnswer = undelivered.length > 0
    if (isAnswer && answers >= MAX_ANSWERS) return
    answers += 1
    const sealed = sealEvent({ ...news, id: state.lastId + 1, at: now() })
    state = nextState(state, sealed.event)
    keep(sealed)
    undelivered.push(sealed.event)
    if (!isAnswer) deliver()
  }

  return {
    publish,
    subscribe: (on) => {
      const subscriber: Subscriber = { on, hasFailed: false }
      subscribers.add(subscriber)
      return { [Symbol.dispose]: () => void subscribers.delete(subscriber) }
    },
    snapshot: () => state,
    since: (id) => {
      const isOurs = id <= state.lastId
      const events = [...history.map(({ event }) => event), ...figures.values()]
      return {
        events: events.filter((event) => event.id > (isOurs ? id : 0)).sort((a, b) => a.id - b.id),
        isComplete: isOurs && id >= lostId,
      }
    },
  }
}
