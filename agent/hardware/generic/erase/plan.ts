// SPDX-License-Identifier: Apache-2.0
// Owns which disks an erasure touches (contract 7.3): what is left alone and why, and what must never be
// erased. Does not erase.
import type { Config } from '../../../config/options.ts'
import { isVirtualMedium } from '../../../config/virtual-media.ts'
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { JsonObject } from '../../../core/json.ts'
import { openBlockDevice } from '../../../disk/block-device.ts'
import { listRemains } from '../../../disk/partition-table/partitioner.ts'
import { findRaidSignature } from '../../../disk/raid-signature.ts'
import type { Exec } from '../../../system/exec.ts'
import { type LsblkDevice, listBlockDevices } from '../../../system/lsblk.ts'
import type { Root } from '../../../system/root.ts'
import { blockDevicePath } from '../../../system/sysfs.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import {
  describeSignature,
  raidVolumesOf,
  rowsOfDisk,
  whyLeftAlone,
} from '../../collectors/left-alone.ts'
import type { Disk, LeftAlone } from '../../inventory.ts'
import { keptVolumeNames } from '../../raid/arrays.ts'

export interface ErasePlanDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** All disks; those that must be left alone say so, also those of `skip_block_devices`. */
  readonly listDisks: (node: JsonObject | undefined) => Promise<readonly Disk[]>
}

export interface ErasePlan {
  readonly disks: readonly Disk[]
  /** Disks that are write-protected: the caller knows whether that is a failure. */
  readonly readOnly: readonly Disk[]
  readonly leftAlone: readonly DiskLeftAlone[]
}

/** A disk whose content stays. */
export interface DiskLeftAlone extends LeftAlone {
  readonly name: string
}

/** Label of the floppy with kernel parameters (contract 1.4). */
const VIRTUAL_MEDIUM_LABEL = 'ir-vfd-dev'

/** Cluster file systems: other machines may be using them right now. */
const SPECIAL_PARTITION_TYPES: ReadonlyMap<string, string> = new Map([
  ['37affc90-ef7d-4e96-91c3-2d7ae055b174', 'IBM GPFS'],
  ['aa31e02a-400f-11db-9590-000c2911d1b8', 'VMware VMFS'],
  ['0xfb', 'VMware VMFS'],
])
const SPECIAL_FILE_SYSTEMS: ReadonlyMap<string, string> = new Map([
  ['gfs', 'Red Hat GFS'],
  ['gfs2', 'Red Hat GFS2'],
  ['vmfs', 'VMware VMFS'],
  ['vmfs_volume_member', 'VMware VMFS'],
])

/**
 * The disks to erase. Left alone, with a line in the log: what `listDisks` says, virtual media, members of
 * RAID arrays and what else is held (an assembled array is a disk of its own), and arrays that
 * `skip_block_devices` names. The signatures are read anew, from the disks themselves
 * (docs/design/130-disks-left-alone.md).
 * @throws ProtectedDeviceError before anything is touched, if one of them has a cluster file system and
 *   `guard_special_filesystems` is on
 */
export async function planErasure(
  deps: ErasePlanDeps,
  node: JsonObject | undefined,
  signal: AbortSignal = new AbortController().signal,
): Promise<ErasePlan> {
  const candidates = await deps.listDisks(node)
  const all = await listBlockDevices(deps.exec)
  const rowsOf = rowsByDisk(all, candidates)
  const kept = keptDevices(all, node)
  const [disks, readOnly]: [Disk[], Disk[]] = [[], []]
  const leftAlone: DiskLeftAlone[] = []
  const guarded: Disk[] = []
  for (const disk of candidates) {
    const rows = rowsOf.get(disk.name) ?? []
    const why = await whyNotErased(deps, disk, { rows, kept, signal })
    if (why !== null) {
      deps.log.info({ device: disk.name, reason: why.reason }, 'disk not erased')
      leftAlone.push({ name: disk.name, ...why })
      // what others share may lie on more than one disk
      if (!why.isWanted) guarded.push(disk)
    } else if (rows[0]?.isReadOnly) readOnly.push(disk)
    else disks.push(disk)
  }
  guarded.push(...disks)
  if (deps.config.guard_special_filesystems) await assertUnprotected(deps.root, guarded, rowsOf)
  return { disks, readOnly, leftAlone }
}

/** By disk name: its row and those of everything that lies on it; none for a file that stands for a disk. */
function rowsByDisk(
  all: readonly LsblkDevice[],
  disks: readonly Disk[],
): ReadonlyMap<string, readonly LsblkDevice[]> {
  const knames = new Map(all.map(({ kname }) => [blockDevicePath(kname), kname]))
  return new Map(disks.map(({ name }) => [name, rowsOfDisk(all, knames.get(name) ?? '')]))
}

interface Surroundings {
  /** The disk's own and those of everything that lies on it. */
  readonly rows: readonly LsblkDevice[]
  /** See {@link keptDevices}. */
  readonly kept: ReadonlyMap<string, string>
  readonly signal: AbortSignal
}

async function whyNotErased(
  { config, exec, root }: ErasePlanDeps,
  disk: Disk,
  { rows, kept, signal }: Surroundings,
): Promise<LeftAlone | null> {
  if (disk.leftAlone?.isWanted) return disk.leftAlone
  const wanted = whyWanted(rows, kept)
  if (wanted !== undefined) return { reason: wanted, isWanted: true }
  const erasesRaidMembers = config.erase_raid_members
  const known = disk.leftAlone ?? (await whyLeftAlone({ root, erasesRaidMembers }, rows))
  if (known !== null || erasesRaidMembers) return known
  try {
    const found = await findRaidSignature(exec, root, disk.name, signal)
    if (found === undefined) return null
    return { reason: describeSignature(found.place, found.type, null), isWanted: false }
  } catch (error) {
    if (signal.aborted) throw error
    const reason = `nobody knows whether it is a member of a RAID array: ${messageOf(error)}`
    return { reason, isWanted: false }
  }
}

/** Because the operator excludes its array, or the machine was booted from it. */
function whyWanted(
  rows: readonly LsblkDevice[],
  kept: ReadonlyMap<string, string>,
): string | undefined {
  const [disk] = rows
  // the label alone would let a tenant's disk escape
  if (disk?.label?.toLowerCase() === VIRTUAL_MEDIUM_LABEL && isVirtualMedium([disk])) {
    return 'virtual medium'
  }
  const volume = rows.map(({ kname }) => kept.get(kname)).find((name) => name !== undefined)
  return volume && `skip_block_devices names its RAID volume ${volume}`
}

/** Members of the RAID volumes that `skip_block_devices` names and the assembled arrays, with the names. */
function keptDevices(
  all: readonly LsblkDevice[],
  node: JsonObject | undefined,
): ReadonlyMap<string, string> {
  const wanted = keptVolumeNames(node)
  const kept = new Map<string, string>()
  for (const [kname, volumes] of raidVolumesOf(all)) {
    const volume = volumes.find((name) => wanted.includes(name))
    if (volume !== undefined) kept.set(kname, volume)
  }
  return kept
}

/** All are looked at first: nothing may be erased when one must not be. */
async function assertUnprotected(
  root: Root,
  disks: readonly Disk[],
  rowsOf: ReadonlyMap<string, readonly LsblkDevice[]>,
): Promise<void> {
  const found: string[] = []
  for (const { name } of disks) {
    const special = await specialFileSystem(root, name, rowsOf.get(name) ?? [])
    if (special !== undefined) found.push(`${special} on ${name}`)
  }
  if (found.length === 0) return
  throw new AgentError(
    'ProtectedDeviceError',
    `nothing was erased, because other machines may share ${found.join(', ')}. Name the disk in ` +
      'properties.skip_block_devices, or switch the option guard_special_filesystems off to erase it',
  )
}

async function specialFileSystem(
  root: Root,
  path: string,
  rows: readonly LsblkDevice[],
): Promise<string | undefined> {
  const types = [...rows.map(({ partType }) => partType ?? ''), ...(await typesInTable(root, path))]
  const names = [
    ...types.map((type) => SPECIAL_PARTITION_TYPES.get(type)),
    ...rows.map(({ fsType }) => SPECIAL_FILE_SYSTEMS.get(fsType?.toLowerCase() ?? '')),
  ]
  return names.find((name) => name !== undefined)
}

/** lsblk knows only the partitions the kernel knows. A table that is broken or unreadable has no say. */
async function typesInTable(root: Root, path: string): Promise<string[]> {
  try {
    await using device = await openBlockDevice(path, { mode: 'read', root })
    return (await listRemains(device)).map(({ type }) => type)
  } catch {
    return []
  }
}
