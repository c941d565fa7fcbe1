// SPDX-License-Identifier: Apache-2.0
// Owns setting the machine's clocks (contract 7.6): the kernel's from an NTP server, the hardware's from the kernel's, and
// whether a failure is an error. Does not decide when (daemon/run.ts, system/power.ts do) and asks no server (time-server.ts).
import type { Config } from '../../config/options.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Exec } from '../exec.ts'
import { askTimeServer } from './time-server.ts'

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
  const isMeasured = config.machine_control === 'log'
  const answer = await askTimeServer({ server, timeoutMs, isMeasured, signal }, exec)
  log.info({ server, ...answer }, isMeasured ? 'clock compared, not set' : 'clock set')
}
