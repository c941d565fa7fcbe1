// SPDX-License-Identifier: Apache-2.0
// Owns the end of the machine (contract 5.6): flush, clock, power off, reboot, the start of a kernel that was loaded. Does
// not end the process and loads no kernel.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { anySignal, withDeadline } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type ClockSettings, setClocks } from './clock/clocks.ts'
import type { Exec, ExecResult } from './exec.ts'
import { unloadLeftKernel } from './kexec/kexec.ts'
import type { Root } from './root.ts'
import { blockDeviceAt } from './sysfs.ts'

/** The conductor waits 60 s for standby.sync. */
const FLUSH_DEADLINE_MS = 50_000
const COMMAND_TIMEOUT_MS = 20_000

export interface SyncRequest {
  readonly exec: Exec
  readonly root: Root
  /** Disks whose buffers are flushed one by one; regular files that stand in for disks are skipped. */
  readonly devices: readonly string[]
  readonly signal?: AbortSignal | undefined
}

/**
 * Brings everything written to the media and empties the caches.
 * Throws BlockDeviceError if that takes longer than 50 s, ProcessError if `sync` fails.
 */
export async function syncDisks(request: SyncRequest): Promise<void> {
  const timeout = new AbortController()
  // a sync that hangs in the kernel cannot be killed: the deadline leaves it behind
  await withDeadline(
    flush(request, anySignal(request.signal, timeout.signal)),
    FLUSH_DEADLINE_MS,
    () => {
      timeout.abort()
      return new AgentError(
        'BlockDeviceError',
        `disks not flushed after ${FLUSH_DEADLINE_MS / 1000} s; a disk is slow or fails, see dmesg`,
      )
    },
  )
}

async function flush({ exec, root, devices }: SyncRequest, signal: AbortSignal): Promise<void> {
  await exec(['sync'], { timeoutMs: FLUSH_DEADLINE_MS, signal })
  await writeKernelFile(root, '/proc/sys/vm/drop_caches', '3').catch(() => undefined)
  for (const device of devices) {
    if ((await blockDeviceAt(root, device)) === undefined) continue
    // a drive without medium refuses; what was written is on the disk by `sync` already
    await exec(['blockdev', '--flushbufs', device], { signal }).catch(() => undefined)
  }
}

export interface PowerDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** `log`: say what would be done, do nothing (laboratories). */
  readonly machineControl: 'real' | 'log'
}

/** What the end of a machine needs besides. */
export interface MachineEndDeps extends PowerDeps {
  readonly clock: ClockSettings
}

/**
 * Without it the ramdisk's init starts no kernel, whatever is loaded (image-build/…/start-instance): its action for the end
 * of the machine is one for power-off and reboot alike.
 */
const START_MARK = '/run/ironswarm/start-instance'

/**
 * Sets the clocks and switches the machine off; the caller has flushed the disks. A kernel that is loaded is unloaded
 * first. Throws SystemRebootError if neither init nor the kernel took the request, ClockSyncError with
 * `fail_if_clock_not_set`.
 */
export function powerOff(deps: MachineEndDeps): Promise<void> {
  return endMachine(deps, { argv: ['poweroff'], sysrq: 'o', before: () => forgetKernel(deps) })
}

/** The same with a reboot. */
export function reboot(deps: MachineEndDeps): Promise<void> {
  return endMachine(deps, { argv: ['reboot'], sysrq: 'b', before: () => forgetKernel(deps) })
}

/**
 * Ends the machine as `reboot` does, into the kernel that kexec has loaded. systemd is told so; the ramdisk's init starts
 * what is loaded where the mark for it is there, and where neither is, firmware starts the disk.
 */
export async function startLoadedKernel(deps: MachineEndDeps): Promise<void> {
  const { root } = deps
  const isSystemd = (await root.resolve('/run/systemd/system')) !== undefined
  const mark = root.path(START_MARK)
  const before = async () => {
    await mkdir(dirname(mark), { recursive: true, mode: 0o700 })
    await writeFile(mark, '')
  }
  try {
    const argv = isSystemd ? (['systemctl', 'kexec'] as const) : (['reboot'] as const)
    await endMachine(deps, { argv, sysrq: 'b', before })
  } catch (error) {
    await rm(mark, { force: true }).catch(() => undefined)
    throw error
  }
}

/**
 * Nothing is started by the next end of the machine: for one that an earlier process of the agent has loaded, and could
 * not start. What fails is logged.
 */
export async function forgetKernel({ exec, root, log, machineControl }: PowerDeps): Promise<void> {
  if (machineControl === 'log') return
  try {
    await rm(root.path(START_MARK), { force: true })
    await unloadLeftKernel(exec, root)
  } catch (err) {
    log.warn({ err }, 'a loaded kernel is not unloaded')
  }
}

interface MachineEnd {
  readonly argv: readonly [string, ...string[]]
  /** The kernel's own key for it (sysrq.rst), where init does not listen. */
  readonly sysrq: string
  /** Right before init is asked. */
  readonly before: () => Promise<void>
}

async function endMachine(
  deps: MachineEndDeps,
  { argv, sysrq, before }: MachineEnd,
): Promise<void> {
  const { exec, root, log, machineControl, clock } = deps
  await setClocks({ exec, log, config: { ...clock, machine_control: machineControl } })
  if (machineControl === 'log') {
    log.info({ argv }, 'machine control is logged, not done')
    return
  }
  await before().catch((err) => {
    log.warn({ err }, 'the kernel that is loaded is not started')
  })
  try {
    const result = await exec(argv, { timeoutMs: COMMAND_TIMEOUT_MS })
    if (!isRefused(result)) return
    log.warn({ argv, stderr: result.stderr }, 'init ignores the request; asking the kernel')
  } catch (err) {
    log.warn({ argv, err }, 'init refuses the request; asking the kernel')
  }
  try {
    await writeKernelFile(root, '/proc/sysrq-trigger', sysrq)
  } catch (error) {
    throw new AgentError(
      'SystemRebootError',
      `${argv.join(' ')} failed and so did sysrq ${sysrq}: ${messageOf(error)}; switch the machine by its BMC`,
      { cause: error },
    )
  }
}

/** systemctl's way of saying no with exit code 0, in a chroot. */
function isRefused({ stdout, stderr }: ExecResult): boolean {
  return /ignoring request/i.test(stderr + stdout)
}

async function writeKernelFile(root: Root, absolute: string, text: string): Promise<void> {
  await writeFile(root.path(absolute), text, { flag: 'r+' })
}
