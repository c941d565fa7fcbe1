// SPDX-License-Identifier: Apache-2.0
// Owns asking an NTP server once: chronyd or ntpdate, which set the kernel's clock and end. Keeps no program running.
import { AgentError, systemErrorCode } from '../../core/errors.ts'
import type { Exec } from '../exec.ts'

export interface TimeRequest {
  /** Host name or IP address: the option's row has checked it. */
  readonly server: string
  readonly timeoutMs: number
  /** Nothing is set. */
  readonly isMeasured: boolean
  readonly signal?: AbortSignal | undefined
}

export interface TimeAnswer {
  readonly program: TimeProgram
  /** How far the clock was off, seconds; undefined where the program does not say. */
  readonly offset_s: number | undefined
}

type TimeProgram = 'chronyd' | 'ntpdate'

const SHUTDOWN_TIMEOUT_MS = 5000
/** Until a program counts its own time, on a machine that is slow to load it. */
const START_MS = 5000

/**
 * Sets the kernel's clock, by chronyd before ntpdate where both are there, as in ironic-python-agent. Throws ProcessError
 * where neither is, or the server does not answer in time.
 */
export async function askTimeServer(request: TimeRequest, exec: Exec): Promise<TimeAnswer> {
  if (!request.isMeasured) await endRunningChronyd(exec)
  for (const program of ['chronyd', 'ntpdate'] as const) {
    const argv = program === 'chronyd' ? chronyd(request) : ntpdate(request)
    const output = await runIfThere(argv, request, exec)
    if (output !== undefined) return { program, offset_s: offsetOf(output) }
  }
  throw new AgentError(
    'ProcessError',
    'neither chronyd nor ntpdate is installed in the ramdisk, and ntp_server is set',
  )
}

/** What it printed; undefined where there is no such program. */
async function runIfThere(
  argv: [string, ...string[]],
  { timeoutMs, signal }: TimeRequest,
  exec: Exec,
): Promise<string | undefined> {
  try {
    const options = { timeoutMs: timeoutMs + START_MS, ...(signal ? { signal } : {}) }
    const { stdout, stderr } = await exec(argv, options)
    return `${stdout}\n${stderr}`
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Asks once and ends. One sample decides: the four of `iburst` alone take 4.3 s, and a deploy needs no milliseconds. The
 * directives stand in place of a configuration file, no socket is opened for commands, and no user must exist.
 */
function chronyd({ server, timeoutMs, isMeasured }: TimeRequest): [string, ...string[]] {
  const mode = isMeasured ? ['-x', '-q'] : ['-q']
  const directives = [
    `server ${server} iburst maxsamples 1`,
    'cmdport 0',
    'bindcmdaddress /',
    'pidfile /run/ironswarm-chronyd.pid',
  ]
  return ['chronyd', ...mode, '-u', 'root', '-t', `${timeoutMs / 1000}`, ...directives]
}

function ntpdate({ server, isMeasured }: TimeRequest): [string, ...string[]] {
  return ['ntpdate', ...(isMeasured ? ['-q'] : []), server]
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
