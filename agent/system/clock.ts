// SPDX-License-Identifier: Apache-2.0
// Owns setting the machine's clocks from an NTP server (contract 7.6): the kernel's, and the hardware's from it. Does not
// decide when (daemon/run.ts, system/power.ts do) and keeps no program running.
import type { Config } from '../config/options.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Exec } from './exec.ts'

export type ClockSettings = Pick<Config, 'ntp_server' | 'fail_if_clock_not_set'>

export interface ClockDeps {
  readonly exec: Exec
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** With `machine_control=log` the server is asked and nothing is set. */
  readonly config: ClockSettings & Pick<Config, 'machine_control'>
  readonly signal?: AbortSignal | undefined
}

/** At the start: name, network and server may be slow to come. */
const START_TIMEOUT_MS = 30_000
/** At the machine's end: the conductor switches it off hard 35 s after it asked (contract 5.6), 20 of them for the disks. */
const END_TIMEOUT_MS = 8000
const HARDWARE_TIMEOUT_MS = 20_000
const SHUTDOWN_TIMEOUT_MS = 5000

/**
 * Sets the kernel's clock once, if option ntp_server names a server. What fails is a warning, as in ironic-python-agent,
 * unless `fail_if_clock_not_set` is set.
 * Throws ClockSyncError.
 */
export async function setSystemClock(deps: ClockDeps): Promise<void> {
  await orWarn(deps, 'clock not set', () => askServer(deps, START_TIMEOUT_MS))
}

/** Both clocks, for what starts after this agent; the hardware's also without a server. Throws ClockSyncError. */
export async function setClocks(deps: ClockDeps): Promise<void> {
  await orWarn(deps, 'clock not set', () => askServer(deps, END_TIMEOUT_MS))
  if (deps.config.machine_control === 'log') return
  await orWarn(deps, 'hardware clock not set', async () => {
    await deps.exec(['hwclock', '-v', '--systohc'], { timeoutMs: HARDWARE_TIMEOUT_MS })
  })
}

async function orWarn(deps: ClockDeps, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    if (deps.signal?.aborted) throw deps.signal.reason
    const error = new AgentError('ClockSyncError', `${what}: ${messageOf(cause)}`, { cause })
    if (deps.config.fail_if_clock_not_set) throw error
    deps.log.warn({ err: error }, what)
  }
}

async function askServer(deps: ClockDeps, timeoutMs: number): Promise<void> {
  const { exec, log, config, signal } = deps
  const server = config.ntp_server
  if (server === null) return
  const program = await timeProgram(exec)
  if (program === undefined) {
    throw new AgentError(
      'ProcessError',
      'neither chronyd nor ntpdate is installed in the ramdisk, and ntp_server is set',
    )
  }
  const isMeasured = config.machine_control === 'log'
  const argv = program === 'chronyd' ? chronyd(server, timeoutMs) : ntpdate(server)
  if (isMeasured) argv.splice(1, 0, program === 'chronyd' ? '-x' : '-q')
  if (program === 'chronyd' && !isMeasured) await endRunningChronyd(exec)
  const { stdout, stderr } = await exec(argv, {
    timeoutMs: timeoutMs + 2000,
    ...(signal ? { signal } : {}),
  })
  log.info(
    { server, program, offset_s: offsetOf(`${stdout}\n${stderr}`) },
    isMeasured ? 'clock compared, not set' : 'clock set',
  )
}

type TimeProgram = 'chronyd' | 'ntpdate'

/** chronyd before ntpdate where both are there, as in ironic-python-agent. */
async function timeProgram(exec: Exec): Promise<TimeProgram | undefined> {
  const isThere = async (argv: readonly [string, string]) => {
    try {
      await exec(argv, { timeoutMs: 10_000, okExitCodes: [0, 1] })
      return true
    } catch {
      return false
    }
  }
  if (await isThere(['chronyd', '--version'])) return 'chronyd'
  return (await isThere(['ntpdate', '--version'])) ? 'ntpdate' : undefined
}

/**
 * Asks once and ends. One sample decides: the four of `iburst` alone take 4.3 s, and a deploy needs no milliseconds. The
 * directives stand in place of a configuration file, no socket is opened for commands, and no user must exist.
 */
function chronyd(server: string, timeoutMs: number): [string, ...string[]] {
  const directives = [
    `server ${server} iburst maxsamples 1`,
    'cmdport 0',
    'bindcmdaddress /',
    'pidfile /run/ironswarm-chronyd.pid',
  ]
  return ['chronyd', '-q', '-u', 'root', '-t', `${timeoutMs / 1000}`, ...directives]
}

function ntpdate(server: string): [string, ...string[]] {
  return ['ntpdate', server]
}

/** Two of them would pull at one clock; mostly none runs, or chronyc is not there. */
async function endRunningChronyd(exec: Exec): Promise<void> {
  await exec(['chronyc', 'shutdown'], {
    timeoutMs: SHUTDOWN_TIMEOUT_MS,
    okExitCodes: [0, 1],
  }).catch(() => undefined)
}

/** How far the clock was off, seconds, as the program says it; undefined where it says nothing. */
export function offsetOf(output: string): number | undefined {
  const words = /System clock wrong by (-?[\d.]+) seconds|\boffset ([+-]?[\d.]+)/.exec(output)
  const text = words?.[1] ?? words?.[2]
  return text === undefined ? undefined : Number(text)
}
