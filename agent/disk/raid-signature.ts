// SPDX-License-Identifier: Apache-2.0
// Owns looking for RAID superblocks on a disk itself: not by udev's memory, not by what the kernel knows of
// partitions. Does not judge what one means.
import { messageOf } from '../core/errors.ts'
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import { openBlockDevice } from './block-device.ts'
import { listRemains } from './partition-table/partitioner.ts'

/** A superblock that was found. */
export interface RaidSignature {
  /** Where: the disk's path, `partition 2 of /dev/sda`. */
  readonly place: string
  /** libblkid's name: `linux_raid_member`, `isw_raid_member`, … */
  readonly type: string
}

/** A disk that does not answer is asked for so long, ms; blkid reads some hundred KiB. */
const PROBE_TIMEOUT_MS = 30_000

/**
 * The first RAID superblock on the disk or in a partition of its table; undefined where there is none, or
 * nobody to tell: without blkid. Throws ProcessError if blkid fails or does not come back: nobody knows then.
 */
export async function findRaidSignature(
  exec: Exec,
  root: Root,
  path: string,
  signal: AbortSignal,
): Promise<RaidSignature | undefined> {
  const probe = async (place: string, range: readonly string[]) => {
    const type = await probeRaid(exec, [...range, '--', path], signal)
    return type === undefined ? undefined : { place, type }
  }
  const whole = await probe(path, [])
  if (whole !== undefined) return whole
  for (const { number, range } of await partitionsInTable(root, path)) {
    const where = [`--offset=${range.offset}`, `--size=${range.length}`]
    const found = await probe(`partition ${number} of ${path}`, where)
    if (found !== undefined) return found
  }
  return undefined
}

/** exec's word for a program that the ramdisk has not (system/exec.ts). */
const NO_PROGRAM = 'command not found'

/** RAID superblocks alone: those of a file system beside it do not make the answer ambiguous (blkid(8)). */
async function probeRaid(
  exec: Exec,
  place: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const argv = ['blkid', '--probe', '--usages=raid', '--match-tag=TYPE', '--output=value'] as const
  try {
    const okExitCodes = [0, 2, 8]
    const options = { okExitCodes, signal, timeoutMs: PROBE_TIMEOUT_MS }
    return (await exec([...argv, ...place], options)).stdout.trim() || undefined
  } catch (error) {
    if (messageOf(error).includes(NO_PROGRAM)) return undefined
    throw error
  }
}

/** A table that is broken or cannot be read has no say. */
async function partitionsInTable(root: Root, path: string) {
  try {
    await using device = await openBlockDevice(path, { mode: 'read', root })
    return await listRemains(device)
  } catch {
    return []
  }
}
