// SPDX-License-Identifier: Apache-2.0
// Owns the log lines that are made of events: a line when an operation begins, one when it ends, one for
// each warning, and one for each change of a tracker. Does not write lines (logger.ts); figures stay out of the log.
import type { AgentEvent } from '../core/events.ts'
import type { EventReader } from './event-stream.ts'
import type { Logger } from './logger.ts'

export interface EventLog extends Disposable {
  /** Lines from now on go to `log`, which may carry more facts: the node, once it is known. */
  use(log: Logger): void
}

/** Logs what happens on the stream until disposed of. */
export function logEvents(events: Pick<EventReader, 'subscribe'>, log: Logger): EventLog {
  let current = log
  const subscription = events.subscribe((event) => {
    if (event.type === 'operation') logOperation(current, event)
    if (event.type === 'warning') current.warn({ ...event.fields, err: event.err }, event.message)
    if (event.type === 'tracker') logTracker(current, event)
  })
  return {
    use: (next) => {
      current = next
    },
    [Symbol.dispose]: () => subscription[Symbol.dispose](),
  }
}

function logOperation(log: Logger, event: Extract<AgentEvent, { type: 'operation' }>): void {
  const name = event.operation?.split('/').at(-1)
  if (event.state === 'began') {
    log.info(event.fields, `${name} started`)
    return
  }
  const { fields, durationMs, result, err } = event
  const facts = { ...fields, duration_ms: durationMs, result }
  if (result === 'FAIL') log.error({ ...facts, err }, `${name} failed`)
  else log.info(facts, `${name} finished`)
}

/** Both at one level: who reads that a tracker fails is to read that it works again. */
function logTracker(log: Logger, event: Extract<AgentEvent, { type: 'tracker' }>): void {
  const { tracker, state, reason, fields } = event
  if (state === 'failing') log.warn({ ...fields, tracker, reason }, 'tracker fails')
  if (state === 'answering') log.warn({ ...fields, tracker }, 'tracker answers again')
}
