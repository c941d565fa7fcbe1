import { expect, test } from 'vitest'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createRecentLines } from '../../../agent/telemetry/recent-lines.ts'

test('keeps the newest lines within its bound, oldest first', () => {
  const recent = createRecentLines(10)
  for (const line of ['1234\n', '5678\n', '90\n']) recent.write(line)
  expect(recent.text()).toBe('5678\n90\n')
  recent.write('a line longer than the bound\n')
  expect(recent.text()).toBe('a line longer than the bound\n')
})

test('holds what the logger wrote, without secrets', () => {
  const recent = createRecentLines(1000)
  const written: string[] = []
  const log = createLogger({
    level: 'info',
    destination: { write: (line) => written.push(line) },
    copyTo: recent,
  })
  log.child({ agent_token: 's3cret' }).info('hello')
  expect(recent.text()).toBe(written.join(''))
  expect(recent.text()).toContain('hello')
  expect(recent.text()).not.toContain('s3cret')
})
