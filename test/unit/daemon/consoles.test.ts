import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { openConsoles } from '../../../agent/daemon/consoles.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

const PROGRESS: Progress = {
  step: 'fetch',
  doneBytes: 1,
  totalBytes: 2,
  percent: 50,
  rateBytesPerSecond: 1,
  etaSeconds: 1,
  source: 'http',
  bytes: { origin: 1, peers: 0, file: 0 },
  uploadedBytes: 0,
  peers: 0,
}
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ironswarm-consoles-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function open(paths: string[], stderr: { isTTY?: boolean } = {}) {
  const output = { stderr: '', log: '' }
  const consoles = openConsoles({
    paths,
    stderr: { write: (text) => (output.stderr += text), ...stderr },
    now: () => 0,
    log: createLogger({ level: 'warn', destination: { write: (text) => (output.log += text) } }),
  })
  return { consoles, output }
}

test('a serial line gets plain lines, a screen one line that is written over', () => {
  const serial = join(directory, 'ttyS0')
  const screen = join(directory, 'tty0')
  for (const path of [serial, screen]) writeFileSync(path, '')
  const { consoles } = open([serial, screen])
  consoles.show(PROGRESS)
  consoles.close()
  expect(readFileSync(serial, 'utf8')).toMatch(/^writing the image 50\.0%.*\n$/)
  expect(readFileSync(serial, 'utf8')).not.toContain('\u001B')
  expect(readFileSync(screen, 'utf8')).toMatch(/^\rwriting the image/)
  expect(readFileSync(screen, 'utf8')).toContain('\u001B[K')
})

test('a console that is not there is a warning, and the others go on', () => {
  const { consoles, output } = open([join(directory, 'none/tty9')], { isTTY: true })
  consoles.show(PROGRESS)
  consoles.close()
  expect(output.log).toContain('"msg":"console not opened"')
  expect(output.stderr).toContain('writing the image')
})

test('stderr shows nothing where it is no terminal: the journal has the log', () => {
  const { consoles, output } = open([])
  consoles.show(PROGRESS)
  consoles.close()
  expect(output.stderr).toBe('')
})
