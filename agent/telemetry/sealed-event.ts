// SPDX-License-Identifier: Apache-2.0
// Owns the edge of the event stream: what of a publisher's words becomes an event. Sealed is: secrets
// struck out, of bounded size, plain JSON, frozen. Does not know what the events mean.
import type { AgentEvent, Fields } from '../core/events.ts'
import { redact, redactBounded } from '../core/redact.ts'
import { plainError } from './plain-error.ts'

export interface SealedEvent {
  readonly event: AgentEvent
  /** Length as JSON, characters. */
  readonly chars: number
}

/** Bounds on one event, besides those of redactBounded on each text. */
const MAX_VALUES = 512
const MAX_DEPTH = 12
export const MAX_EVENT_CHARS = 128 * 1024

/** The event as every reader may have it. Never throws: facts that cannot be had are left out. */
export function sealEvent(event: AgentEvent): SealedEvent {
  try {
    const sealed = seal(event)
    if (sealed.chars <= MAX_EVENT_CHARS) return sealed
    return seal(withoutFacts(event, `${sealed.chars} characters`))
  } catch (error) {
    return seal(withoutFacts(event, `not readable: ${plainError(error)['message']}`))
  }
}

function seal(event: AgentEvent): SealedEvent {
  // each part has room of its own: facts without end must not cost the event its id
  const parts = Object.entries(event).map(([key, part]) => [
    key,
    pruned(part, { values: MAX_VALUES }, 0),
  ])
  const text = JSON.stringify(
    redact(Object.fromEntries(parts), { text: (one) => redactBounded(one) }),
  )
  const frozen: AgentEvent = JSON.parse(text, (_key, value) => Object.freeze(value))
  return { event: frozen, chars: text.length }
}

/** What is open to size in an event are its facts; all else is a few words. */
function withoutFacts(event: AgentEvent, dropped: string): AgentEvent {
  const facts: Fields = { dropped }
  return {
    ...event,
    ...('fields' in event ? { fields: facts } : {}),
    ...('err' in event && event.err ? { err: facts } : {}),
  }
}

/** A copy with at most `room.values` values, each of which JSON can hold; errors become records. */
function pruned(value: unknown, room: { values: number }, depth: number): unknown {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'function') return undefined
  if (value instanceof Error) return pruned(plainError(value), room, depth)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  if (depth > MAX_DEPTH) return '…'
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    if (room.values <= 0) break
    room.values -= 1
    copy[key] = pruned(item, room, depth + 1)
  }
  return Array.isArray(value) ? Object.values(copy) : copy
}
