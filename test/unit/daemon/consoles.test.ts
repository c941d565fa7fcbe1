import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openConsoles } from '../../../agent/daemon/consoles.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { progressOf } from '../../support/event-lab.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ironswarm-consoles-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function open(paths: string[], stderr: { isTTY?: boolean } = {}) {
  const output = { stderr: '', log: '' }
  const events = createEventStream({ now: () => 0 })
  const consoles = openConsoles({
    paths,
    stderr: { write: (text) => (output.stderr += text), ...stderr },
    now: () => 0,
    events,
    log: createLogger({ level: 'warn', destination: { write: (text) => (output.log += text) } }),
  })
  const show = () => events.publish({ type: 'progress', progress: progressOf() })
  return { show, close: () => consoles[Symbol.dispose](), output }
}

test('a serial line gets plain lines, a screen one line that is written over', () => {
  const serial = join(directory, 'ttyS0')
  const screen = join(directory, 'tty0')
  for (const path of [serial, screen]) writeFileSync(path, '')
  const { show, close } = open([serial, screen])
  show()
  close()
  expect(readFileSync(serial, 'utf8')).toMatch(/^writing the image 50\.0%.*\n$/)
  expect(readFileSync(serial, 'utf8')).not.toContain('\u001B')
  expect(readFileSync(screen, 'utf8')).toMatch(/^\rwriting the image/)
  expect(readFileSync(screen, 'utf8')).toContain('\u001B[K')
})

test('a console that is not there is a warning, and the others go on', () => {
  const { show, close, output } = open([join(directory, 'none/tty9')], { isTTY: true })
  show()
  close()
  expect(output.log).toContain('"msg":"console not opened"')
  expect(output.stderr).toContain('writing the image')
})

test('stderr shows nothing where it is no terminal: the journal has the log', () => {
  const { show, close, output } = open([])
  show()
  close()
  expect(output.stderr).toBe('')
})
