import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import type { Exec } from '../../../agent/system/exec.ts'
import { powerOff, reboot, startLoadedKernel, syncDisks } from '../../../agent/system/power.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

const log = createLogger({ level: 'silent' })
const REAL = {
  machineControl: 'real',
  clock: { ntp_server: null, fail_if_clock_not_set: false },
} as const

/** A /proc with the files that end a machine, harmless. */
async function createProc() {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-proc-'))
  await mkdir(join(path, 'proc/sys/vm'), { recursive: true })
  await writeFile(join(path, 'proc/sysrq-trigger'), '')
  await writeFile(join(path, 'proc/sys/vm/drop_caches'), '')
  return {
    root: createRoot(path),
    read: (name: string) => readFile(join(path, name), 'utf8'),
    remove: (name: string) => rm(join(path, name)),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

function recording(answers: Record<string, string | Error> = {}): { exec: Exec; calls: string[] } {
  const calls: string[] = []
  return {
    calls,
    exec: async (argv) => {
      calls.push(argv.join(' '))
      const answer = answers[argv[0]] ?? ''
      if (answer instanceof Error) throw answer
      return { stdout: '', stderr: answer, exitCode: 0 }
    },
  }
}

const failure = new AgentError('ProcessError', 'exit code 1')

describe('the end of the machine', () => {
  test('sets the hardware clock, then asks init', async () => {
    await using proc = await createProc()
    const { exec, calls } = recording()
    await powerOff({ exec, root: proc.root, log, ...REAL })
    expect(calls).toEqual(['hwclock -v --systohc', 'poweroff'])
    expect(await proc.read('proc/sysrq-trigger')).toBe('')
  })

  test('does not depend on the hardware clock', async () => {
    await using proc = await createProc()
    const { exec, calls } = recording({ hwclock: failure })
    await reboot({ exec, root: proc.root, log, ...REAL })
    expect(calls).toEqual(['hwclock -v --systohc', 'reboot'])
  })

  test.each([
    ['fails', failure],
    ['ignores the request', 'Running in chroot, ignoring request.'],
  ])('goes to the kernel when init %s', async (_, answer) => {
    await using proc = await createProc()
    const { exec } = recording({ poweroff: answer, reboot: answer })
    await powerOff({ exec, root: proc.root, log, ...REAL })
    expect(await proc.read('proc/sysrq-trigger')).toBe('o')
    await reboot({ exec, root: proc.root, log, ...REAL })
    expect(await proc.read('proc/sysrq-trigger')).toBe('b')
  })

  test('is a SystemRebootError when the kernel does not take it either', async () => {
    await using proc = await createProc()
    await proc.remove('proc/sysrq-trigger')
    const { exec } = recording({ poweroff: failure })
    const ended = powerOff({ exec, root: proc.root, log, ...REAL })
    await expect(ended).rejects.toMatchObject({ type: 'SystemRebootError' })
  })

  test('goes into a kernel that was loaded by init: systemd is told, others start what is loaded', async () => {
    await using proc = await createProc()
    const { exec, calls } = recording()
    await startLoadedKernel({ exec, root: proc.root, log, ...REAL })
    await mkdir(proc.root.path('/run/systemd/system'), { recursive: true })
    await startLoadedKernel({ exec, root: proc.root, log, ...REAL })
    expect(calls.filter((call) => !call.startsWith('hwclock'))).toEqual([
      'reboot',
      'systemctl kexec',
    ])
  })

  test('marks a reboot that is to start the loaded kernel, and takes the mark back where there is none', async () => {
    await using proc = await createProc()
    const deps = { ...recording(), root: proc.root, log, ...REAL }
    const marks = async () => (await readdir(proc.root.path('/run/ironswarm'))).join()
    let atReboot = ''
    const exec: Exec = async ([command = '']) => {
      if (command === 'reboot') atReboot = await marks()
      return { stdout: '', stderr: '', exitCode: 0 }
    }
    await startLoadedKernel({ ...deps, exec })
    expect(atReboot).toBe('start-instance')
    await proc.remove('proc/sysrq-trigger')
    const refused = startLoadedKernel({ ...deps, exec: recording({ reboot: failure }).exec })
    await expect(refused).rejects.toMatchObject({ type: 'SystemRebootError' })
    expect(await marks()).toBe('')
  })

  test.each([
    ['poweroff', powerOff],
    ['reboot', reboot],
  ])(
    'by %s starts no kernel that an agent before has loaded and marked',
    async (end, endMachine) => {
      await using proc = await createProc()
      await mkdir(proc.root.path('/sys/kernel'), { recursive: true })
      await writeFile(proc.root.path('/sys/kernel/kexec_loaded'), '1\n')
      await mkdir(proc.root.path('/run/ironswarm'), { recursive: true })
      await writeFile(proc.root.path('/run/ironswarm/start-instance'), '')
      const { exec, calls } = recording()
      await endMachine({ exec, root: proc.root, log, ...REAL })
      expect(calls).toEqual(['hwclock -v --systohc', 'kexec --unload', end])
      expect(await readdir(proc.root.path('/run/ironswarm'))).toEqual([])
      const without = recording({ kexec: failure })
      await endMachine({ exec: without.exec, root: proc.root, log, ...REAL })
      expect(without.calls).toContain(end)
    },
  )

  test('is only logged in a laboratory', async () => {
    await using proc = await createProc()
    const { exec, calls } = recording()
    const lines: string[] = []
    const captured = createLogger({
      level: 'info',
      destination: { write: (line) => lines.push(line) },
    })
    await powerOff({ exec, root: proc.root, log: captured, ...REAL, machineControl: 'log' })
    expect(calls).toEqual([])
    expect(lines.join()).toContain('poweroff')
  })
})

describe('flushing the disks', () => {
  test('syncs, drops the caches, and passes over what is no block device', async () => {
    await using proc = await createProc()
    const { exec, calls } = recording()
    await syncDisks({ exec, root: proc.root, devices: ['/dev/null', '/no/such/disk'] })
    expect(calls).toEqual(['sync'])
    expect(await proc.read('proc/sys/vm/drop_caches')).toBe('3')
  })

  test('a failing sync is an error, a missing drop_caches is not', async () => {
    await using proc = await createProc()
    await proc.remove('proc/sys/vm/drop_caches')
    await syncDisks({ exec: recording().exec, root: proc.root, devices: [] })
    const { exec } = recording({ sync: failure })
    await expect(syncDisks({ exec, root: proc.root, devices: [] })).rejects.toBe(failure)
  })
})
