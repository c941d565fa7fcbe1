// SPDX-License-Identifier: Apache-2.0
// Owns the bounded memory of events that were: the last ones, and of figures the newest. Does not tell anybody
// (event-stream.ts).
import { EVENT_TABLE } from '../core/event-table.ts'
import type { AgentEvent, EventType } from '../core/events.ts'
import type { SealedEvent } from './sealed-event.ts'

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

export interface HistoryBounds {
  readonly maxEvents: number
  /** Of JSON. */
  readonly maxChars: number
}

export class EventHistory {
  readonly #bounds: HistoryBounds
  readonly #figures = new Map<EventType, AgentEvent>()
  readonly #events: SealedEvent[] = []
  #chars = 0
  /** Id of the newest event that is not here any more. */
  #lostId = 0

  constructor(bounds: HistoryBounds) {
    this.#bounds = bounds
  }

  /** In the order of ids. */
  keep(sealed: SealedEvent): void {
    const { event, chars } = sealed
    if (EVENT_TABLE[event.type].keeps === 'latest') {
      this.#figures.set(event.type, event)
      return
    }
    this.#events.push(sealed)
    this.#chars += chars
    const { maxEvents, maxChars } = this.#bounds
    while (this.#events.length > maxEvents || this.#chars > maxChars) {
      const lost = this.#events.shift() as SealedEvent
      this.#chars -= lost.chars
      this.#lostId = lost.event.id
    }
  }

  /** What came after the event `id`. @param lastId of the stream: a later one is none of it */
  since(id: number, lastId: number): Replay {
    const isOurs = id <= lastId
    const events = [...this.#events.map(({ event }) => event), ...this.#figures.values()]
    return {
      events: events.filter((event) => event.id > (isOurs ? id : 0)).sort((a, b) => a.id - b.id),
      isComplete: isOurs && id >= this.#lostId,
    }
  }
}
