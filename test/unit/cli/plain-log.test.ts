import { expect, test } from 'vitest'
import { createPlainLog } from '../../../agent/cli/plain-log.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { operation } from '../../../agent/telemetry/operation.ts'

function plain() {
  let text = ''
  const stream = { write: (more: string) => (text += more) }
  return {
    log: createLogger({ level: 'warn', destination: createPlainLog(stream) }),
    text: () => text,
  }
}

test('a warning is one plain line with its reason, without secrets', () => {
  const { log, text } = plain()
  log.warn({ reason: 'http://u:s3cret@h/ is silent', bytes: 5 }, 'source gives up')
  log.warn({ err: new AgentError('SwarmStalledError', 'no piece for 30 s') }, 'source gives up')
  log.error('the disk may boot')
  expect(text()).toBe(
    'ironswarm: warning: source gives up: http://***@h/ is silent\n' +
      'ironswarm: warning: source gives up: Swarm download stalled: no piece for 30 s\n' +
      'ironswarm: error: the disk may boot\n',
  )
})

test('the failure of an operation is left to the error line of the command', async () => {
  const { log, text } = plain()
  const events = createEventStream({ now: () => 0 })
  logEvents(events, log)
  const failing = operation(events, 'write image', {}, () => Promise.reject(new Error('no')))
  await expect(failing).rejects.toThrow('no')
  expect(text()).toBe('')
})

test('a tracker that fails and works again is a line each, with its words', () => {
  const { log, text } = plain()
  const events = createEventStream({ now: () => 0 })
  logEvents(events, log)
  const tracker = 'http://t/announce'
  const fields = { info_hash: 'ab' }
  const reason = 'refused: not on the list'
  events.publish({ type: 'tracker', tracker, state: 'failing', reason, fields })
  events.publish({ type: 'tracker', tracker, state: 'answering', reason: null, fields })
  events.publish({ type: 'tracker', tracker, state: 'left', reason: null, fields })
  expect(text()).toBe(
    'ironswarm: warning: tracker fails: http://t/announce: refused: not on the list\n' +
      'ironswarm: warning: tracker answers again: http://t/announce\n',
  )
})
