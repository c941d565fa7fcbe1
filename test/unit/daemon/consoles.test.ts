import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openConsoles } from '../../../agent/daemon/consoles.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { progressOf } from '../../support/event-lab.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ironswarm-consoles-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function open(paths: string[], stderr: { isTTY?: boolean } = {}) {
  const output = { stderr: '' }
  const events = createEventStream({ now: () => 0 })
  const consoles = openConsoles({
    paths,
    stderr: { write: (text) => (output.stderr += text), ...stderr },
    now: () => 0,
    events,
    recentLog: () => '',
  })
  const show = () => events.publish({ type: 'progress', progress: progressOf() })
  const enter = (phase: 'serving' | 'rescued') => events.publish({ type: 'phase', phase })
  return { show, enter, consoles, close: () => consoles[Symbol.dispose](), output }
}

function files(): [serial: string, screen: string] {
  const paths = [join(directory, 'ttyS0'), join(directory, 'tty0')] as const
  for (const path of paths) writeFileSync(path, '')
  return [...paths]
}

test('a serial line gets plain lines, a screen a picture that is drawn in place', () => {
  const [serial, screen] = files()
  const { enter, close } = open([serial, screen])
  enter('serving')
  close()
  expect(readFileSync(serial, 'utf8')).toBe('ironswarm: 00:00:00 serving\r\n')
  const drawn = readFileSync(screen, 'utf8')
  expect(drawn).toContain('\u001B[1;1H')
  expect(drawn).toContain('Waiting for a command')
  expect(drawn.match(/\n/g)).toHaveLength(1)
})

test('once the machine is rescued both are left to whoever logs in', () => {
  const [serial, screen] = files()
  const { enter, close } = open([serial, screen])
  enter('rescued')
  const before = [serial, screen].map((path) => readFileSync(path, 'utf8'))
  expect(before[1]).toMatch(/Rescued.*\r\n$/s)
  enter('serving')
  close()
  expect([serial, screen].map((path) => readFileSync(path, 'utf8'))).toEqual(before)
})

test('a console that is not there is named, and the others go on', () => {
  const { show, close, consoles, output } = open([join(directory, 'none/tty9')], { isTTY: true })
  show()
  close()
  expect(consoles.notOpened).toMatchObject([{ reason: expect.stringContaining('ENOENT') }])
  expect(output.stderr).toContain('writing the image')
})

test('stderr shows nothing where it is no terminal: the journal has the log', () => {
  const { show, close, output } = open([])
  show()
  close()
  expect(output.stderr).toBe('')
})
