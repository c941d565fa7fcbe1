import { expect, test } from 'vitest'
import { createScreen } from '../../e2e/vm/screen.ts'

test('progress is a line for each fifth of a step, and one for its end', () => {
  const lines: string[] = []
  const screen = createScreen(
    (line) => lines.push(line),
    () => 1.25,
  )
  for (const percent of [0, 5, 19, 21, 60, 79, 100, 100]) screen.progress('n', 'fetch', percent, '')
  expect(lines.map((line) => line.split(' ').at(-1))).toEqual(['0%', '21%', '60%', '100%'])
  expect(lines[0]).toBe('   1.3 s  n        fetch 0%')
})

test('each kind of request is shown once per machine, without its identifiers', () => {
  const lines: string[] = []
  const screen = createScreen(
    (line) => lines.push(line),
    () => 0,
  )
  const path = '/v1/heartbeat/839fd865-705b-4875-894c-8c2fe2997cf6'
  const call = { method: 'POST', path, status: 202 } as Parameters<typeof screen.api>[1]
  screen.api('one', call)
  screen.api('one', call)
  screen.api('two', call)
  expect(lines).toHaveLength(2)
  expect(lines[0]).toContain('POST /v1/heartbeat/… → 202')
})
