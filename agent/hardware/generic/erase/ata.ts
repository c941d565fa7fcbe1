// SPDX-License-Identifier: Apache-2.0
// Owns erasing an ATA drive by its own SECURITY ERASE UNIT command (contract 7.3; ATA8-ACS 4.18), by hdparm.
// Does not overwrite; the caller does where this is not supported.
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { EraseOptions } from '../../../disk/erase.ts'
import { assertNotInUse } from '../../../disk/in-use.ts'
import type { Exec } from '../../../system/exec.ts'
import type { Erasure } from './proof.ts'

/** The drive's answer in the Security section of `hdparm -I`. */
export interface AtaSecurity {
  readonly isSupported: boolean
  readonly isEnabled: boolean
  readonly isLocked: boolean
  readonly isFrozen: boolean
  readonly canEnhance: boolean
  /** The longer of the drive's own estimates, minutes; 0 if it gives none. */
  readonly eraseMinutes: number
}

/** hdparm's word for 32 zero bytes: known to all, so that an interrupted erase can be resumed. */
const PASSWORD = 'NULL'
/** Estimates are short of the truth on old drives. */
const LEAST_TIMEOUT_MS = 4 * 3_600_000
const LONGEST_TIMEOUT_MS = 72 * 3_600_000

/** Parses `hdparm -I`; all false where there is no Security section. */
export function parseAtaSecurity(text: string): AtaSecurity {
  const section = securitySection(text)
  const has = (flag: string) => section.includes(flag)
  const minutes = [...section.join('\n').matchAll(/(\d+)min for/g)].map(([, count]) =>
    Number(count),
  )
  return {
    isSupported: has('supported'),
    isEnabled: has('enabled'),
    isLocked: has('locked'),
    isFrozen: has('frozen'),
    canEnhance: has('supported: enhanced erase'),
    eraseMinutes: Math.max(0, ...minutes),
  }
}

/** Its indented lines, each with single spaces: `not locked`. */
function securitySection(text: string): string[] {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => /^Security:\s*$/.test(line))
  if (start < 0) return []
  const rest = lines.slice(start + 1)
  const end = rest.findIndex((line) => !/^\s/.test(line))
  return rest
    .slice(0, end < 0 ? rest.length : end)
    .map((line) => line.trim().replaceAll(/\s+/g, ' '))
}

/**
 * Lets the drive erase itself.
 * @returns what was done; undefined if it is no ATA drive or cannot
 * @throws TargetInUseError; BlockDeviceEraseError for a frozen or locked drive and a failing command
 */
export async function eraseAtaSecurely(
  path: string,
  options: EraseOptions,
): Promise<Erasure | undefined> {
  const { exec, signal } = options
  if (!(await isAtaWithSecurity(path, options))) return undefined
  let security = await readSecurity(exec, path)
  if (!security?.isSupported) return undefined
  await assertNotInUse(options.root, path)
  if (security.isFrozen) {
    throw failure(
      path,
      'the firmware has frozen the security settings; see its set-up or power-cycle',
    )
  }
  if (security.isLocked) security = await unlock(path, options)
  const hdparm = (flag: string, timeoutMs?: number) =>
    exec(['hdparm', '--user-master', 'u', flag, PASSWORD, path], {
      signal,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
  const timeoutMs = eraseTimeoutMs(security.eraseMinutes)
  try {
    if (!security.isEnabled) await hdparm('--security-set-pass')
    await hdparm(security.canEnhance ? '--security-erase-enhanced' : '--security-erase', timeoutMs)
  } catch (error) {
    // a drive with a password does not start after its next power cycle
    await hdparm('--security-disable').catch(() => undefined)
    throw failure(path, messageOf(error), error)
  }
  if ((await readSecurity(exec, path))?.isEnabled !== false) {
    throw failure(path, 'security is still enabled afterwards, so the drive has not erased itself')
  }
  // the enhanced one writes patterns of the drive's own, the other zeros (ATA8-ACS, SECURITY ERASE UNIT)
  return security.canEnhance
    ? { how: 'ata enhanced secure erase', promisesZeros: false }
    : { how: 'ata secure erase', promisesZeros: true }
}

/** hdparm takes SAS drives for ATA ones; smartctl does not. */
async function isAtaWithSecurity(
  path: string,
  { exec, signal, log }: EraseOptions,
): Promise<boolean> {
  try {
    const { stdout } = await exec(['smartctl', '-d', 'ata', path, '-g', 'security'], { signal })
    return !stdout.includes('Unavailable')
  } catch (error) {
    log.info({ device: path, reason: messageOf(error) }, 'no ata security')
    return false
  }
}

async function readSecurity(exec: Exec, path: string): Promise<AtaSecurity | undefined> {
  try {
    return parseAtaSecurity((await exec(['hdparm', '-I', path])).stdout)
  } catch {
    return undefined
  }
}

/** After an erase that was interrupted the password is ours, or that of another agent: empty. */
async function unlock(path: string, { exec, signal }: EraseOptions): Promise<AtaSecurity> {
  for (const password of [PASSWORD, '']) {
    const argv = ['hdparm', '--user-master', 'u', '--security-unlock', password, path] as const
    await exec(argv, { signal }).catch(() => undefined)
    const security = await readSecurity(exec, path)
    if (security?.isLocked === false) return security
  }
  throw failure(path, 'it is locked by a password that is not known here')
}

function eraseTimeoutMs(minutes: number): number {
  return Math.min(Math.max(2 * minutes * 60_000, LEAST_TIMEOUT_MS), LONGEST_TIMEOUT_MS)
}

function failure(path: string, reason: string, cause?: unknown): AgentError {
  return new AgentError('BlockDeviceEraseError', `ATA secure erase of ${path} failed: ${reason}`, {
    cause,
  })
}
