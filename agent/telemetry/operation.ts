// SPDX-License-Identifier: Apache-2.0
// Owns how work tells of itself: that it began, how it ended, and what went wrong on the way. Does not
// log (event-log.ts does) and does not swallow or wrap an error.
import { toAgentError } from '../core/errors.ts'
import type { EventPublisher, Fields, NewEvent, OperationResult } from '../core/events.ts'
import { plainError } from './plain-error.ts'

/**
 * Runs `fn` between two events, its beginning and its end; the log makes of them `<name> started` and
 * `<name> finished`. A failure is published (the log: `<name> failed`, an error) and thrown on
 * unchanged, so nobody above needs to tell it again.
 * @param name constant lower-case phrase without a slash: `write image`
 * @param fields facts of both events, in the names of docs (node_uuid, device, image_id, …)
 * @param fn gets `note`, which adds facts known only later to the end, and the publisher of what happens
 *   inside: its events carry this operation's name, and a warning among them makes the result WARN
 */
export async function operation<T>(
  events: EventPublisher,
  name: string,
  fields: Fields,
  fn: (note: (facts: Fields) => void, inside: EventPublisher) => Promise<T>,
): Promise<T> {
  const startedAt = performance.now()
  const facts: Record<string, unknown> = { ...fields }
  let result: OperationResult = 'SUCCESS'
  const inside = within(events, name)
  const ended = (outcome: { result: OperationResult } & Partial<ReturnType<typeof errorFields>>) =>
    inside.publish({
      type: 'operation',
      state: 'ended',
      ...outcome,
      durationMs: Math.round(performance.now() - startedAt),
      fields: facts,
    })
  const watched: EventPublisher = {
    publish: (event) => {
      if (isTrouble(event)) result = 'WARN'
      inside.publish(event)
    },
  }
  inside.publish({ type: 'operation', state: 'began', fields })
  try {
    const value = await fn((more) => Object.assign(facts, more), watched)
    ended({ result })
    return value
  } catch (error) {
    ended({ result: 'FAIL', ...errorFields(error) })
    throw error
  }
}

/** A publisher whose events carry `name`, and what they were named already behind it. */
export function within(events: EventPublisher, name: string): EventPublisher {
  return {
    publish: (event) => {
      const { operation: inner } = event
      events.publish({ ...event, operation: inner === undefined ? name : `${name}/${inner}` })
    },
  }
}

/**
 * Says that something is degraded and the work goes on; the log has it as a warning.
 * @param message constant lower-case phrase: `source gives up`
 */
export function warn(
  events: EventPublisher,
  message: string,
  fields: Fields,
  error: unknown,
): void {
  events.publish({ type: 'warning', message, fields, ...errorFields(error) })
}

function errorFields(error: unknown) {
  return { error: toAgentError(error).toWire(), err: plainError(error) }
}

function isTrouble(event: NewEvent): boolean {
  if (event.type === 'operation') return event.state === 'ended' && event.result !== 'SUCCESS'
  return event.type === 'warning'
}
