// Real stress-ng and fio on real processors, memory, loop devices and sockets.
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Config } from '../../../agent/config/options.ts'
import type { Progress } from '../../../agent/core/events.ts'
import { MiB } from '../../../agent/core/units.ts'
import { createBurninSteps } from '../../../agent/hardware/burnin/steps.ts'
import type { Disk } from '../../../agent/hardware/inventory.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { recordedStream } from '../../support/event-lab.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { diskWith } from '../../unit/hardware/disk-fixture.ts'
import { callWith } from '../../unit/hardware/manager-fixture.ts'
import { canMakeNetworks } from '../swarm/namespaces.ts'

const LONG_MS = 300_000
const canRun = hasPackages('burn-in')

function stepsWith(disks: readonly Disk[] = []) {
  const config = { erase_raid_members: false, guard_special_filesystems: false } as Config
  const log = createLogger({ level: 'silent' })
  const root = createRoot('/')
  const steps = createBurninSteps({ config, exec, root, log, listDisks: async () => disks })
  return async (name: string, driver_info: object, signal?: AbortSignal) => {
    const step = steps.find(({ announce }) => announce.step === name)
    const call = callWith()
    const events = recordedStream()
    const context = { ...call.context, events, ...(signal === undefined ? {} : { signal }) }
    const result = await step?.run({ ...call, node: { driver_info }, context })
    return { result, events }
  }
}

const patiently = { timeout: 60_000 }

/** The stress-ng of this test, by the mark in its environment, and its workers, which have overwritten theirs. */
async function burning(): Promise<string[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  for (const name of names) {
    const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')
    if (!environment.includes('IRONSWARM_TEST_BURNIN=of this test')) continue
    const children = await readFile(`/proc/${name}/task/${name}/children`, 'latin1').catch(() => '')
    return [name, ...children.split(' ').filter((each) => each !== '')]
  }
  return []
}

async function isRunning(pid: string): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return state !== '' && !/\) Z/.test(state)
}

/** That it began at 0 and went on, second by second, with an end in sight. */
function expectSeconds(
  progress: readonly Progress[],
  { subject, total }: { readonly subject: string; readonly total: number },
): void {
  expect(progress[0]).toMatchObject({ step: 'burn-in', unit: 'seconds', subject, done: 0, total })
  const [last] = progress.slice(-1)
  expect(last?.done).toBeGreaterThanOrEqual(1)
  expect(last?.etaSeconds).not.toBeNull()
  const done = progress.map((each) => each.done)
  expect(done).toEqual(done.toSorted((a, b) => a - b))
}

const isBeginningOf =
  (wanted: string) =>
  ({ subject, done }: Progress) =>
    subject === wanted && done === 0

const diskAt = (path: string, sizeBytes: number, changes: Partial<Disk> = {}) =>
  diskWith({ name: path, sizeBytes, ...changes })

describe.skipIf(!canRun)('a burn-in', { timeout: LONG_MS }, () => {
  test('of the processors runs stress-ng for the time, which keeps its log', async () => {
    await using directory = await temporaryDirectory()
    const log = join(directory.path, 'cpu.log')
    const { result, events } = await stepsWith()('burnin_cpu', {
      agent_burnin_cpu_cpu: 1,
      agent_burnin_cpu_timeout: '3',
      agent_burnin_cpu_outputfile: log,
    })
    expect(result).toBe('cpu: 3 s by stress-ng without a failure')
    expectSeconds(events.progress(), { subject: 'cpu', total: 3 })
    expect(await readFile(log, 'utf8')).toMatch(/dispatching hogs: 1 cpu/)
  })

  test('of the memory takes what it is given, and its bits are verified', async () => {
    await using directory = await temporaryDirectory()
    const log = join(directory.path, 'vm.log')
    const { result, events } = await stepsWith()('burnin_memory', {
      agent_burnin_vm_vm: 1,
      'agent_burnin_vm_vm-bytes': '8m',
      agent_burnin_vm_timeout: 3,
      agent_burnin_vm_outputfile: log,
    })
    expect(result).toBe('memory: 3 s by stress-ng without a failure')
    expectSeconds(events.progress(), { subject: 'memory', total: 3 })
    expect(await readFile(log, 'utf8')).toMatch(/dispatching hogs: 1 vm/)
  })

  test.skipIf(!canMakeNetworks())('of the network goes both ways between two nodes', async () => {
    const script = join(import.meta.dirname, 'burnin-network-process.ts')
    const up = 'ip link set lo up; exec "$0" "$@"'
    const argv = ['--net', 'sh', '-ec', up, process.execPath, script]
    const { stdout } = await promisify(execFile)('unshare', argv)
    const [{ answer: reader, progress }, { answer: writer }] = JSON.parse(stdout) as [
      { answer: string; progress: Progress[] },
      { answer: string },
    ]
    for (const subject of ['network as reader', 'network as writer']) {
      // its partner was waited for, which is no part of the time
      const run = progress.slice(progress.findLastIndex(isBeginningOf(subject)))
      expectSeconds(
        run.filter((each) => each.subject === subject),
        { subject, total: 4 },
      )
    }
    expect(reader).toMatch(
      /^[\d.]+ \wiB received from 127\.0\.0\.1; [\d.]+ \wiB sent to 127\.0\.0\.1$/,
    )
    expect(writer).toMatch(
      /^[\d.]+ \wiB sent to 127\.0\.0\.1; [\d.]+ \wiB received from 127\.0\.0\.1$/,
    )
  })

  test('ends with the agent, and leaves no worker behind', async () => {
    process.env['IRONSWARM_TEST_BURNIN'] = 'of this test'
    const ending = new AbortController()
    const running = stepsWith()('burnin_cpu', { agent_burnin_cpu_cpu: 1 }, ending.signal)
    running.catch(() => undefined)
    await expect.poll(async () => (await burning()).length, patiently).toBeGreaterThanOrEqual(2)
    const processes = await burning()
    ending.abort()
    await expect(running).rejects.toThrow()
    await expect
      .poll(async () => (await Promise.all(processes.map(isRunning))).some(Boolean), patiently)
      .toBe(false)
  })

  test.skipIf(!hasLoopDevices('burn-in of disks'))(
    'of disks writes, reads and verifies each of them, and says how far it is',
    async () => {
      await using a = await createLoopDevice({ sizeBytes: 8 * MiB })
      await using b = await createLoopDevice({ sizeBytes: 4 * MiB, sectorBytes: 4096 })
      await using directory = await temporaryDirectory()
      const outputFile = join(directory.path, 'fio.json')
      const kept = diskAt('/dev/kept', MiB, { leftAlone: { reason: 'skipped', isWanted: true } })
      const disks = [diskAt(a.path, 8 * MiB), diskAt(b.path, 4 * MiB), kept]
      const { result, events } = await stepsWith(disks)('burnin_disk', {
        agent_burnin_fio_disk_loops: 1,
        agent_burnin_fio_disk_outputfile: outputFile,
      })
      expect(result).toEqual({
        '/dev/kept': 'left alone: skipped',
        [a.path]: expect.stringMatching(/MiB written, .* MiB read, all as written$/),
        [b.path]: expect.stringMatching(/all as written$/),
      })
      expect((await readFile(a.path)).some((byte) => byte !== 0)).toBe(true)
      expect(JSON.parse(await readFile(outputFile, 'utf8'))).toHaveProperty('jobs')
      expect((await readdir('.')).filter((name) => name.endsWith('.state'))).toEqual([])
      expect(events.progress()[0]).toMatchObject({ step: 'burn-in', total: 18 * MiB })
    },
  )

  test.skipIf(!hasLoopDevices('burn-in of disks'))(
    'of disks for a time says how much of the time is over',
    async () => {
      await using disk = await createLoopDevice({ sizeBytes: 4 * MiB })
      const { events } = await stepsWith([diskAt(disk.path, 4 * MiB)])('burnin_disk', {
        agent_burnin_fio_disk_runtime: 3,
      })
      expectSeconds(events.progress(), { subject: disk.path, total: 3 })
    },
  )

  test.skipIf(!hasLoopDevices('burn-in of disks'))(
    'names the disk that fails, and its error',
    async () => {
      await using good = await createLoopDevice({ sizeBytes: 4 * MiB })
      const missing = diskAt('/dev/ironswarm-no-such-disk', 4 * MiB)
      const running = stepsWith([diskAt(good.path, 4 * MiB), missing])('burnin_disk', {
        agent_burnin_fio_disk_loops: 1,
      })
      await expect(running).rejects.toThrow(/ironswarm-no-such-disk/)
    },
  )

  test.skipIf(!hasLoopDevices('burn-in of disks'))(
    'is refused for a disk in use, and no other is touched',
    async () => {
      await using used = await createLoopDevice({ sizeBytes: 4 * MiB })
      await using other = await createLoopDevice({ sizeBytes: 4 * MiB })
      await exec(['mkswap', used.path])
      await exec(['swapon', used.path])
      try {
        const disks = [diskAt(other.path, 4 * MiB), diskAt(used.path, 4 * MiB)]
        await expect(stepsWith(disks)('burnin_disk', {})).rejects.toMatchObject({
          type: 'TargetInUseError',
        })
        expect((await readFile(other.path)).every((byte) => byte === 0)).toBe(true)
      } finally {
        await exec(['swapoff', used.path])
      }
    },
  )
})
