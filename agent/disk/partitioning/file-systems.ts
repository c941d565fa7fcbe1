// SPDX-License-Identifier: Apache-2.0
// Owns the empty file systems of a new disk (contract 5.3.10): ESP, swap, ephemeral, by the programs that make them.
// Does not place them; disk-layout.ts does.
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { DeviceGeometry } from '../geometry.ts'
import type { DiskLayout, PlannedPartition } from './disk-layout.ts'
import { openLoopWindow } from './loop-window.ts'

/** Of an ESP or a swap header, ms: a megabyte is written. */
const SMALL_TIMEOUT_MS = 60_000
/** Of an ephemeral partition, ms: mkfs may discard all of a large disk first. */
const EPHEMERAL_TIMEOUT_MS = 900_000

type Argv = readonly [string, ...string[]]

export interface FileSystemDeps {
  readonly exec: Exec
  readonly signal: AbortSignal
}

/** What is to be made in which partition; an ephemeral one that is preserved is left alone. */
function programsOf(layout: DiskLayout): { partition: PlannedPartition; argv: Argv }[] {
  return layout.partitions.flatMap((partition) => {
    const argv = argvOf(partition, layout)
    return argv === undefined ? [] : [{ partition, argv }]
  })
}

function argvOf({ kind }: PlannedPartition, layout: DiskLayout): Argv | undefined {
  if (kind === 'esp') return ['mkfs.vfat', '-n', 'efi-part']
  if (kind === 'swap') return ['mkswap', '-L', 'swap1']
  if (kind !== 'ephemeral' || layout.preservesEphemeral) return undefined
  return [`mkfs.${layout.ephemeralFormat}`, ...ephemeralOptions(layout.ephemeralFormat)]
}

/** Force where mkfs asks questions otherwise; the label by the option that each has for it. */
function ephemeralOptions(format: string): string[] {
  const label = 'ephemeral0'
  if (/^ext[234]$/.test(format)) {
    // the instance's kernel zeroes inode tables and journal in the background; here it would take minutes a TiB
    return ['-F', '-q', '-L', label, '-E', 'lazy_itable_init=1,lazy_journal_init=1']
  }
  if (/^(vfat|fat|msdos)$/.test(format)) return ['-n', label]
  return [...(/^(xfs|btrfs|f2fs|ntfs)$/.test(format) ? ['-f'] : []), '-L', label]
}

/**
 * Asks every program that {@link makeFileSystems} will run for its version: what is missing is said before the disk is
 * touched. Throws DeploymentError.
 */
export async function requirePrograms(layout: DiskLayout, { exec, signal }: FileSystemDeps) {
  for (const { partition, argv } of programsOf(layout)) {
    const [program] = argv
    try {
      // mkfs.vfat knows no such option, and says so
      await exec([program, '-V'], { okExitCodes: [0, 1], signal, timeoutMs: SMALL_TIMEOUT_MS })
    } catch (error) {
      throwIfAborted(signal)
      throw failed(partition, error)
    }
  }
}

/** Makes them, by loop devices over the windows. Throws DeploymentError, BlockDeviceError, CancelledError. */
export async function makeFileSystems(
  geometry: DeviceGeometry,
  layout: DiskLayout,
  { exec, signal }: FileSystemDeps,
): Promise<void> {
  for (const { partition, argv } of programsOf(layout)) {
    const timeoutMs = partition.kind === 'ephemeral' ? EPHEMERAL_TIMEOUT_MS : SMALL_TIMEOUT_MS
    await using loop = await openLoopWindow(exec, geometry, partition.range)
    try {
      await exec([...argv, loop.path], { signal, timeoutMs })
    } catch (error) {
      throwIfAborted(signal)
      throw failed(partition, error)
    }
  }
}

function failed({ number, kind }: PlannedPartition, error: unknown): AgentError {
  return new AgentError(
    'DeploymentError',
    `no file system in partition ${number} (${kind}): ${messageOf(error)}`,
    { cause: error },
  )
}
