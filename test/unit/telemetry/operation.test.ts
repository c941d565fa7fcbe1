import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { operation } from '../../../agent/telemetry/operation.ts'

function capture() {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  return { log, records: () => lines.map((line) => JSON.parse(line)) }
}

test('an operation is one line at its start and one at its end, with duration and late facts', async () => {
  const { log, records } = capture()
  const value = await operation(log, 'write image', { device: '/dev/sda' }, async (note) => {
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
  const { log, records } = capture()
  const error = new AgentError('ImageWriteError', 'no space at byte 5')
  const attempt = operation(log, 'write image', {}, async () => {
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
