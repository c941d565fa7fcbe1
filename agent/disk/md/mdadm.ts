// SPDX-License-Identifier: Apache-2.0
// Owns what mdadm is told, and how long it may take. Does not know which arrays there are.
import { sleep, throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory } from '../../system/sysfs.ts'
import { settle } from '../../system/udev.ts'

export interface MdadmDeps {
  readonly exec: Exec
  readonly signal: AbortSignal
}

export interface NewArray {
  /** `/dev/md0`. */
  readonly path: string
  readonly name: string
  /** mdadm's word: `1`, `10`. */
  readonly level: string
  /** Partitions. */
  readonly members: readonly string[]
  /** `1.2` unless given; with `1.0` the superblock lies at the end, and firmware reads a member as it reads a disk. */
  readonly metadata?: '1.0' | '1.2'
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
  const { path, name, level, members, metadata = '1.2' } = array
  await exec(
    [
      ...(['mdadm', '--create', path, '--run', '--force'] as const),
      `--metadata=${metadata}`,
      `--level=${level}`,
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

/** Gives a mirror that many places; what was a spare takes a free one, and the copy to it begins. Throws ProcessError. */
export async function growArray(
  { exec, signal }: MdadmDeps,
  path: string,
  places: number,
): Promise<void> {
  const argv = ['mdadm', '--grow', path, `--raid-devices=${places}`] as const
  await exec(argv, { signal, timeoutMs: MDADM_TIMEOUT_MS })
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

/** mdadm's own limit of numbered arrays is far higher. */
const MOST_NUMBERS = 128

/** The first number that no array has: kept ones may be there. Throws SoftwareRAIDError where all are taken. */
export async function freeArrayPath(root: Root): Promise<string> {
  for (let number = 0; number < MOST_NUMBERS; number++) {
    const path = `/dev/md${number}`
    if (await isFreeNumber(root, path)) return path
  }
  throw new AgentError('SoftwareRAIDError', `all of /dev/md0 to md${MOST_NUMBERS - 1} are in use`)
}

/** True where there is no array, or nothing but the node of one that is no more (Documentation/admin-guide/md.rst). */
export async function isFreeNumber(root: Root, path: string): Promise<boolean> {
  const directory = blockDeviceDirectory(path.slice('/dev/'.length))
  const state = await root.readText(`${directory}/md/array_state`)
  return state === undefined || state === 'clear'
}
