import { expect, test } from 'vitest'
import { createPlainLog } from '../../../../agent/cli/terminal/plain-log.ts'
import { AgentError } from '../../../../agent/core/errors.ts'
import { logEvents } from '../../../../agent/telemetry/event-log.ts'
import { createEventStream } from '../../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { operation } from '../../../../agent/telemetry/operation.ts'

function plain() {
  let text = ''
  const kinds: (string | undefined)[] = []
  const tell = (line: string, kind?: string) => {
    text += `${line}\n`
    kinds.push(kind)
  }
  return {
    log: createLogger({ level: 'info', destination: createPlainLog(tell) }),
    kinds,
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

test('a url that is asked again is one line with attempt and wait, of one kind; its last failure a warning', () => {
  const { log, text, kinds } = plain()
  const url = 'http://h/image'
  const reason = 'connection refused'
  for (const attempt of [2, 3]) {
    log.warn({ url, reason, failures: attempt - 1, ruled_out: false }, 'image url failed')
    log.info({ url, reason, attempt, attempts: 3, wait_ms: 1200 }, 'image url asked again')
  }
  log.warn({ url, reason: `${url}: connection refused`, ruled_out: true }, 'image url failed')
  expect(text()).toBe(
    'ironswarm: http://h/image: connection refused; attempt 2 of 3, again in 2 s\n' +
      'ironswarm: http://h/image: connection refused; attempt 3 of 3, again in 2 s\n' +
      'ironswarm: warning: image url failed: http://h/image: connection refused\n',
  )
  expect(kinds[0]).toBe(kinds[1])
  expect(kinds[2]).toBeUndefined()
})

test('what is no warning is not told', () => {
  const { log, text } = plain()
  log.info({ image_id: 'x' }, 'image planned')
  expect(text()).toBe('')
})
