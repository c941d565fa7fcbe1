// SPDX-License-Identifier: Apache-2.0
// Owns the log lines of an operation: one when it starts, one when it ends, with duration and result.
// The only way to log an operation; does not swallow or wrap its error.
import { toAgentError } from '../core/errors.ts'
import type { EventPublisher } from '../core/events.ts'
import type { Logger } from './logger.ts'
import { plainError } from './plain-error.ts'

export type Fields = Readonly<Record<string, unknown>>

/**
 * Runs `fn` between two info lines, `<name> started` and `<name> finished`; a failure ends with an
 * error line `<name> failed` and is thrown on unchanged, so nobody above needs to log it again.
 * @param name constant lower-case phrase: `write image`
 * @param fields facts of both lines, in the names of docs (node_uuid, device, image_id, …)
 * @param fn gets `note`, which adds facts known only later to the last line
 */
export async function operation<T>(
  log: Logger,
  name: string,
  fields: Fields,
  fn: (note: (facts: Fields) => void) => Promise<T>,
): Promise<T> {
  const startedAt = performance.now()
  const facts: Record<string, unknown> = { ...fields }
  const ending = (result: 'SUCCESS' | 'FAIL') => ({
    ...facts,
    duration_ms: Math.round(performance.now() - startedAt),
    result,
  })
  log.info(fields, `${name} started`)
  try {
    const value = await fn((more) => Object.assign(facts, more))
    log.info(ending('SUCCESS'), `${name} finished`)
    return value
  } catch (error) {
    log.error({ ...ending('FAIL'), err: error }, `${name} failed`)
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
