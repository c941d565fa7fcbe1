// SPDX-License-Identifier: Apache-2.0
// Owns what mdadm is told, and how long it may take. Does not know which arrays there are (arrays.ts).
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import type { Exec } from '../../system/exec.ts'
import { settle } from '../../system/udev.ts'
import type { RaidLevel } from './target-config.ts'

export interface MdadmDeps {
  readonly exec: Exec
  readonly signal: AbortSignal
}

export interface NewArray {
  /** `/dev/md0`. */
  readonly path: string
  readonly name: string
  readonly level: RaidLevel
  /** Partitions. */
  readonly members: readonly string[]
}

/** As sysfs has it: `raid10`. */
export function mdLevelOf(level: RaidLevel): string {
  return `raid${numberOf(level)}`
}

function numberOf(level: RaidLevel): string {
  return level === '1+0' ? '10' : level
}

/** Of one call, ms; it waits for udev, and for a superblock on every member. */
const MDADM_TIMEOUT_MS = 120_000
/** udev may look at an array just when it is to be stopped. */
const STOP_ATTEMPTS = 5
const STOP_DELAY_MS = 1000

/**
 * Makes an array and starts it. Metadata 1.2 is what `1`, ironic-python-agent's word, means. The superblock names a home
 * host, and an array is `/dev/md/root` there and `/dev/md/root_0` elsewhere; `any` is every host (mdadm(8)).
 * Throws ProcessError.
 */
export async function createArray({ exec, signal }: MdadmDeps, array: NewArray): Promise<void> {
  const { path, name, level, members } = array
  await exec(
    [
      ...(['mdadm', '--create', path, '--run', '--force', '--metadata=1.2'] as const),
      `--level=${numberOf(level)}`,
      `--name=${name}`,
      '--homehost=any',
      `--raid-devices=${members.length}`,
      ...members,
    ],
    { signal, timeoutMs: MDADM_TIMEOUT_MS },
  )
}

/** Adds a partition that mdadm left out. Throws ProcessError. */
export async function addMember(
  { exec, signal }: MdadmDeps,
  path: string,
  member: string,
): Promise<void> {
  await exec(['mdadm', '--manage', path, '--add', member], { signal, timeoutMs: MDADM_TIMEOUT_MS })
}

/**
 * Starts what udev has not: disks that came late, arrays that lack a member. Finding none is no failure, nor that
 * nobody can start one: what there is even so, others find.
 */
export async function assembleArrays({ exec, signal }: MdadmDeps): Promise<void> {
  try {
    await exec(['mdadm', '--assemble', '--scan'], { signal, timeoutMs: MDADM_TIMEOUT_MS })
  } catch {
    throwIfAborted(signal)
  }
}

/** Stops an array; what lies on its members stays. Throws ProcessError if something holds it for long. */
export async function stopArray({ exec, signal }: MdadmDeps, path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await settle(exec)
    try {
      await exec(['mdadm', '--stop', path], { signal, timeoutMs: MDADM_TIMEOUT_MS })
      return
    } catch (error) {
      if (attempt === STOP_ATTEMPTS || signal.aborted) throw error
    }
    await sleep(STOP_DELAY_MS, signal)
  }
}
