import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const script = join(import.meta.dirname, '../../bench/engine-bench.ts')
const canRun = hasLoopDevices('a benchmark, in its network namespace') && hasPackages('bench')

// its figures are worth nothing here: that the agent's engine comes through the gate is
test.runIf(canRun)('the benchmark of the engine measures the agent', async () => {
  const env = { ...process.env, IMAGE_MIB: '16', PIECE_KIB: '256', ROUNDS: '1', PEERS: 'ironswarm' }
  const { stdout } = await run(process.execPath, [script], { env })
  expect(stdout).toMatch(/^round 1 ironswarm +\d+ MB\/s/m)
  expect(stdout).toMatch(/^ironswarm +\d+ .* 1\.00$/m)
})
