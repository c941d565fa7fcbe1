// What udev's TEST does with the link is stat(2), as existsSync does.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { pauseAssembly } from '../../../agent/disk/md/assembly-pause.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

const MODULE = join(import.meta.dirname, '../../../agent/disk/md/assembly-pause.ts')
const exec = async () => ({ stdout: '', stderr: '', exitCode: 0 })
const log = createLogger({ level: 'silent' })
let folder: string
let pausePath: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-pause-'))
  pausePath = join(folder, 'run/raid-changes')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A process that pauses and is killed by the kernel in the middle of it. */
async function killedAgent(): Promise<void> {
  const script = `
    const { pauseAssembly } = await import(${JSON.stringify(MODULE)})
    await pauseAssembly({ exec: async () => ({}), log: console, pausePath: ${JSON.stringify(pausePath)} })
    process.stdout.write('paused')
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script])
  const ended = new Promise((resolve) => child.once('close', resolve))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  expect(existsSync(pausePath)).toBe(true)
  child.kill('SIGKILL')
  await ended
}

test('a pause lasts as long as its owner wants', async () => {
  {
    await using _pause = await pauseAssembly({ exec, log, pausePath })
    expect(existsSync(pausePath)).toBe(true)
  }
  expect(await readdir(join(folder, 'run'))).toEqual([])
})

test('a pause ends with an agent that is killed, and the next agent has its own', async () => {
  await killedAgent()
  expect(existsSync(pausePath)).toBe(false)
  expect(await readdir(join(folder, 'run'))).toEqual(['raid-changes'])
  await using _pause = await pauseAssembly({ exec, log, pausePath })
  expect(existsSync(pausePath)).toBe(true)
})

test('a folder that cannot be written to stops nobody', async () => {
  await promisify(execFile)('touch', [join(folder, 'run')])
  await using _pause = await pauseAssembly({ exec, log, pausePath })
  expect(existsSync(pausePath)).toBe(false)
})
