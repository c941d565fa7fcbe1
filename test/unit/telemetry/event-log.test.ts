import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { operation, warn } from '../../../agent/telemetry/operation.ts'
import { progressOf } from '../../support/event-lab.ts'

function capture() {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  const events = createEventStream({ now: () => 0 })
  const records = () => lines.map((line) => JSON.parse(line))
  return { log, events, records, eventLog: logEvents(events, log) }
}

test('a failure is an error line with the error as if it had been logged there, causes and stack too', async () => {
  const { log, events, records } = capture()
  const cause = Object.assign(new Error('write failed'), { code: 'ENOSPC' })
  const error = new AgentError('ImageWriteError', 'no space at byte 5', { cause })
  await operation(events, 'write image', {}, () => Promise.reject(error)).catch(() => undefined)
  log.error({ err: error }, 'for comparison')
  const [, failed, direct] = records()
  expect(failed).toMatchObject({ level: 'error', msg: 'write image failed', result: 'FAIL' })
  expect(failed.err).toEqual(direct.err)
  expect(failed.err.cause).toMatchObject({ code: 'ENOSPC', stack: expect.any(String) })
})

test('an operation inside of another is logged by its own name', async () => {
  const { events, records } = capture()
  await operation(events, 'write image', {}, async (_note, inside) => {
    await operation(inside, 'read back', { bytes: 1 }, async () => undefined)
  })
  expect(records().map(({ msg }) => msg)).toEqual([
    'write image started',
    'read back started',
    'read back finished',
    'write image finished',
  ])
})

test('a warning is a warn line with its facts and its error', () => {
  const { events, records } = capture()
  warn(events, 'source gives up', { source: 'swarm' }, new AgentError('SwarmError', 'no peers'))
  expect(records()).toMatchObject([
    {
      level: 'warn',
      msg: 'source gives up',
      source: 'swarm',
      err: { type: 'SwarmError', kind: 'source', message: expect.stringContaining('no peers') },
    },
  ])
})

test('figures, stages and commands are no lines', () => {
  const { events, records } = capture()
  events.publish({ type: 'progress', progress: progressOf() })
  events.publish({ type: 'stage', stage: 'fetch', state: 'began' })
  events.publish({ type: 'swarm', peers: 1, downloadedBytes: 0, uploadedBytes: 0 })
  events.publish({ type: 'command', commandId: '1', name: 'go', status: 'RUNNING', error: null })
  expect(records()).toEqual([])
})

test('lines after use() carry what the new logger knows, and none come after the disposal', async () => {
  const { log, events, records, eventLog } = capture()
  await operation(events, 'look the node up', {}, async () => undefined)
  eventLog.use(log.child({ node_uuid: 'n1' }))
  await operation(events, 'write image', {}, async () => undefined)
  eventLog[Symbol.dispose]()
  await operation(events, 'silence', {}, async () => undefined)
  expect(records().map(({ msg, node_uuid }) => [msg, node_uuid])).toEqual([
    ['look the node up started', undefined],
    ['look the node up finished', undefined],
    ['write image started', 'n1'],
    ['write image finished', 'n1'],
  ])
})
