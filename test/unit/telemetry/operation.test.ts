import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { logEvents } from '../../../agent/telemetry/event-log.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { operation, warn, within } from '../../../agent/telemetry/operation.ts'
import { recordedStream } from '../../support/event-lab.ts'

function capture() {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  const events = createEventStream({ now: () => 0 })
  logEvents(events, log)
  return { events, records: () => lines.map((line) => JSON.parse(line)) }
}

test('an operation is one line at its start and one at its end, with duration and late facts', async () => {
  const { events, records } = capture()
  const value = await operation(events, 'write image', { device: '/dev/sda' }, async (note) => {
    note({ bytes: 7 })
    return 'done'
  })
  expect(value).toBe('done')
  const [started, finished] = records()
  expect(records()).toHaveLength(2)
  expect(started).toMatchObject({ level: 'info', msg: 'write image started', device: '/dev/sda' })
  expect(finished).toMatchObject({
    level: 'info',
    msg: 'write image finished',
    device: '/dev/sda',
    bytes: 7,
    result: 'SUCCESS',
  })
  expect(finished.duration_ms).toBeGreaterThanOrEqual(0)
  expect(started.result).toBeUndefined()
})

test('a failure ends with an error line and is thrown on as it is', async () => {
  const { events, records } = capture()
  const error = new AgentError('ImageWriteError', 'no space at byte 5')
  const attempt = operation(events, 'write image', {}, async () => {
    throw error
  })
  await expect(attempt).rejects.toBe(error)
  expect(records().at(-1)).toMatchObject({
    level: 'error',
    msg: 'write image failed',
    result: 'FAIL',
    err: { type: 'ImageWriteError' },
  })
})

describe('the events of an operation', () => {
  const summary = (stream: ReturnType<typeof recordedStream>) =>
    stream.seen.map((event) => [
      event.operation,
      event.type,
      'state' in event ? event.state : '',
      'result' in event ? event.result : '',
    ])

  test('of a part lie between those of the whole, and carry both names', async () => {
    const stream = recordedStream()
    await operation(stream, 'write image', {}, async (_note, inside) => {
      await operation(inside, 'read back', {}, async (_more, innermost) => {
        innermost.publish({ type: 'stage', stage: 'fetch', state: 'began' })
      })
    })
    expect(summary(stream)).toEqual([
      ['write image', 'operation', 'began', ''],
      ['write image/read back', 'operation', 'began', ''],
      ['write image/read back', 'stage', 'began', ''],
      ['write image/read back', 'operation', 'ended', 'SUCCESS'],
      ['write image', 'operation', 'ended', 'SUCCESS'],
    ])
    expect(stream.snapshot().operations).toEqual([])
  })

  test('say WARN at the end of every operation around a warning', async () => {
    const stream = recordedStream()
    await operation(stream, 'write image', {}, async (_note, inside) => {
      await operation(inside, 'fetch', {}, async (_more, innermost) => {
        warn(innermost, 'source gives up', {}, new Error('no'))
      })
      await operation(inside, 'read back', {}, async () => undefined)
    })
    expect(summary(stream).filter(([, , state]) => state === 'ended')).toEqual([
      ['write image/fetch', 'operation', 'ended', 'WARN'],
      ['write image/read back', 'operation', 'ended', 'SUCCESS'],
      ['write image', 'operation', 'ended', 'WARN'],
    ])
  })

  test('say WARN where a part has failed and the whole went on, FAIL where it did not', async () => {
    const part = async (stream: ReturnType<typeof recordedStream>, isCaught: boolean) => {
      await operation(stream, 'whole', {}, async (_note, inside) => {
        const failing = operation(inside, 'part', {}, () => Promise.reject(new Error('no')))
        await (isCaught ? failing.catch(() => undefined) : failing)
      })
    }
    const [caught, thrown] = [recordedStream(), recordedStream()]
    await part(caught, true)
    await expect(part(thrown, false)).rejects.toThrow('no')
    expect(summary(caught).at(-1)).toEqual(['whole', 'operation', 'ended', 'WARN'])
    expect(summary(thrown).at(-1)).toEqual(['whole', 'operation', 'ended', 'FAIL'])
  })

  test('carry the error twice: as Ironic reads it, and as the log has it', async () => {
    const stream = recordedStream()
    const fail = () => Promise.reject(new TypeError('x is not a function'))
    await operation(stream, 'go', {}, fail).catch(() => undefined)
    expect(stream.seen.at(-1)).toMatchObject({
      error: { type: 'CommandExecutionError', code: 500, details: 'x is not a function' },
      err: { type: 'TypeError', stack: expect.stringContaining('TypeError') },
    })
  })
})

test('within() puts a name in front of what happens inside', () => {
  const stream = recordedStream()
  const outer = within(stream, 'execute_deploy_step')
  outer.publish({ type: 'stage', stage: 'fetch', state: 'began' })
  within(outer, 'write image').publish({ type: 'stage', stage: 'fetch', state: 'ended' })
  expect(stream.seen.map((event) => event.operation)).toEqual([
    'execute_deploy_step',
    'execute_deploy_step/write image',
  ])
})
