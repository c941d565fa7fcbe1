// SPDX-License-Identifier: Apache-2.0
// Owns the Sanitize command of NVMe drives (NVM Express Base 2.0 §5.24), by nvme-cli: started, waited for, and its result
// read from the drive's own log. It erases every namespace of the subsystem; whether that may be, the caller knows.
import { sleep } from '../../../core/deadline.ts'
import { AgentError } from '../../../core/errors.ts'
import type { EraseOptions } from '../../../disk/erase.ts'
import type { Exec } from '../../../system/exec.ts'

interface SanitizeAction {
  /** Bit of sanicap (figure 275). */
  readonly ability: number
  /** Value of sanact (figure 303). */
  readonly action: number
  readonly words: string
  /** Where the log has the drive's estimate, seconds (figure 236). */
  readonly estimateAt: number
  readonly flags: readonly string[]
}

/** The quickest first. */
const ACTIONS: readonly SanitizeAction[] = [
  { ability: 0x1, action: 4, words: 'cryptographic erase', estimateAt: 16, flags: [] },
  { ability: 0x2, action: 2, words: 'block erase', estimateAt: 12, flags: [] },
  { ability: 0x4, action: 3, words: 'overwrite', estimateAt: 8, flags: ['--owpass=1'] },
]

/** The log page as far as it says how an operation goes (figure 236). */
export interface SanitizeLog {
  readonly state: 'never' | 'done' | 'running' | 'failed' | 'unknown'
  /** 0 to 1. */
  readonly progress: number
  /** sanact of the command that this is about. */
  readonly action: number
  /** Nothing was written since. */
  readonly isAllErased: boolean
  readonly raw: Buffer
}

const LOG_BYTES = 20
const NO_ESTIMATE = 0xffffffff
const LEAST_TIMEOUT_MS = 4 * 3_600_000
const LONGEST_TIMEOUT_MS = 72 * 3_600_000
/** Between two looks at the log: soon at first, since many drives take a second. */
const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 10_000

/** How a controller with this sanicap would be sanitized; undefined if it cannot be. */
export function chooseSanitize(sanicap: number): SanitizeAction | undefined {
  return ACTIONS.find(({ ability }) => (sanicap & ability) !== 0)
}

/** Parses the raw page, which is the same of every version of nvme-cli. Throws BlockDeviceEraseError. */
export function parseSanitizeLog(raw: Buffer): SanitizeLog {
  if (raw.length < LOG_BYTES) {
    throw new AgentError(
      'BlockDeviceEraseError',
      `nvme sanitize-log gave ${raw.length} bytes of a log page that has ${LOG_BYTES} and more`,
    )
  }
  const status = raw.readUInt16LE(2)
  const states = ['never', 'done', 'running', 'failed', 'done'] as const
  return {
    state: states[status & 0x7] ?? 'unknown',
    progress: raw.readUInt16LE(0) / 0x10000,
    action: raw.readUInt32LE(4) & 0x7,
    isAllErased: (status & 0x100) !== 0,
    raw,
  }
}

/**
 * @param onProgress from 0 to 1, by the drive's own count
 * @returns what was done and what the drive says of it
 * @throws BlockDeviceEraseError where the drive says that it failed, or says nothing; ProcessError, CancelledError. A drive
 *   goes on with what it has begun, also after a power cycle.
 */
export async function sanitizeNvme(
  path: string,
  chosen: SanitizeAction,
  options: EraseOptions,
  onProgress: (progress: number) => void,
): Promise<string> {
  const { exec, signal, log } = options
  const before = await readLog(exec, path, signal)
  if (before.state === 'running') {
    log.warn({ device: path, progress: before.progress }, 'a sanitize is running already')
    await waitForEnd(path, LONGEST_TIMEOUT_MS, options, () => undefined)
  }
  const argv = ['nvme', 'sanitize', path, `--sanact=${chosen.action}`, ...chosen.flags] as const
  await exec(argv, { signal })
  const after = await waitForEnd(path, timeoutOf(before, chosen), options, onProgress)
  if (after.state !== 'done' || after.action !== chosen.action) {
    throw new AgentError(
      'BlockDeviceEraseError',
      `sanitize (${chosen.words}) of ${path}: the drive's log says ${after.state} of action ${after.action} at ` +
        `${Math.floor(after.progress * 100)} %`,
    )
  }
  const all = after.isAllErased ? ', all data erased' : ''
  return `nvme sanitize, ${chosen.words}; the drive's log says: completed${all}`
}

function timeoutOf({ raw }: SanitizeLog, { estimateAt }: SanitizeAction): number {
  const seconds = raw.readUInt32LE(estimateAt)
  const known = seconds === NO_ESTIMATE ? 0 : seconds
  return Math.min(Math.max(2 * known * 1000, LEAST_TIMEOUT_MS), LONGEST_TIMEOUT_MS)
}

async function waitForEnd(
  path: string,
  timeoutMs: number,
  { exec, signal }: EraseOptions,
  onProgress: (progress: number) => void,
): Promise<SanitizeLog> {
  const end = performance.now() + timeoutMs
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    const log = await readLog(exec, path, signal)
    if (log.state !== 'running') return log
    onProgress(log.progress)
    if (performance.now() > end) {
      throw new AgentError(
        'BlockDeviceEraseError',
        `sanitize of ${path} is at ${Math.floor(log.progress * 100)} % after ${Math.round(timeoutMs / 3_600_000)} h; the ` +
          'drive goes on with it and can be used again only when it has ended',
      )
    }
    await sleep(waitMs, signal)
  }
}

async function readLog(exec: Exec, path: string, signal: AbortSignal): Promise<SanitizeLog> {
  const parts: Uint8Array[] = []
  await exec(['nvme', 'sanitize-log', path, '-o', 'binary'], {
    signal,
    onStdout: (part) => parts.push(part),
  })
  return parseSanitizeLog(Buffer.concat(parts))
}
