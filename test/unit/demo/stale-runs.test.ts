import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { removeStaleRuns } from '../../e2e/demo/stale-runs.ts'

let runs: string

beforeEach(async () => {
  runs = await mkdtemp(join(tmpdir(), 'ironswarm-runs-'))
})
afterEach(() => rm(runs, { recursive: true, force: true }))

/** The id of a process that has ended. */
function deadPid(): number {
  return spawnSync('true').pid
}

test('what a killed run has left is taken away: files, and processes that live in its folder', async () => {
  const stale = join(runs, `run-${deadPid()}`)
  await mkdir(stale)
  await writeFile(join(stale, 'disk'), 'x')
  const agent = spawn('tail', ['-f', join(stale, 'disk')])
  const ended = new Promise((resolve) => agent.once('exit', (_code, signal) => resolve(signal)))
  await new Promise((resolve) => agent.once('spawn', resolve))
  await removeStaleRuns(runs)
  expect(await ended).toBe('SIGKILL')
  expect(existsSync(stale)).toBe(false)
})

test('a run that goes on, and the logs, stay', async () => {
  await using other = owner()
  const living = join(runs, `run-${other.pid}`)
  await mkdir(living)
  await mkdir(join(runs, 'logs'))
  await removeStaleRuns(runs)
  expect(existsSync(living)).toBe(true)
  expect(existsSync(join(runs, 'logs'))).toBe(true)
})

function owner() {
  const child = spawn('sleep', ['60'])
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill()
      await gone
    },
  }
}
