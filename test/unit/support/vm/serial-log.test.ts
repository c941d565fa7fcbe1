import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSerialLog, plainText } from '../../../support/vm/serial-log.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-serial-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('waits for words that come later, in a file that comes later', async () => {
  const log = createSerialLog(join(folder, 'serial.log'))
  const found = log.waitFor(/READY (\w+)/, { timeoutMs: 20_000 })
  await appendFile(log.path, 'booting\r\nREADY now\r\n')
  expect((await found)[1]).toBe('now')
})

test('words of an earlier boot do not count', async () => {
  const log = createSerialLog(join(folder, 'serial.log'))
  await appendFile(log.path, 'READY first\n')
  const from = await log.end()
  await expect(log.waitFor(/READY/, { timeoutMs: 300, from })).rejects.toThrow('no /READY/')
  await log.note('on again')
  await appendFile(log.path, 'READY second\n')
  expect((await log.waitFor(/READY (\w+)/, { timeoutMs: 20_000, from }))[1]).toBe('second')
})

test('the end of the log is in the message of a wait that failed', async () => {
  const log = createSerialLog(join(folder, 'serial.log'))
  await appendFile(log.path, 'Kernel panic\n')
  await expect(log.waitFor(/READY/, { timeoutMs: 0 })).rejects.toThrow('Kernel panic')
})

test('what firmware paints its screen with is taken out', () => {
  expect(plainText(Buffer.from('\u001b[2J\u001b[01;01HBdsDxe: \u001b[0mloading\r\n'))).toBe(
    'BdsDxe: loading\n',
  )
})
