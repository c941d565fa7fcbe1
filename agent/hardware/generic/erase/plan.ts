// SPDX-License-Identifier: Apache-2.0
// Owns which disks an erasure touches (contract 7.3): what is left alone and why, and what must never be
// erased. Does not erase.
import type { Config } from '../../../config/options.ts'
import { isVirtualMedium } from '../../../config/virtual-media.ts'
import { AgentError } from '../../../core/errors.ts'
import { type JsonObject, objectAt } from '../../../core/json.ts'
import { openBlockDevice } from '../../../disk/block-device.ts'
import { listPartitions } from '../../../disk/partition-table/partitioner.ts'
import type { Exec } from '../../../system/exec.ts'
import { type LsblkDevice, listBlockDevices } from '../../../system/lsblk.ts'
import type { Root } from '../../../system/root.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import type { Disk } from '../../inventory.ts'

export interface ErasePlanDeps {
  readonly config: Config
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  /** Candidates without those of `skip_block_devices`. */
  readonly listDisks: (node: JsonObject | undefined) => Promise<readonly Disk[]>
}

export interface ErasePlan {
  readonly disks: readonly Disk[]
  /** Disks that are write-protected: the caller knows whether that is a failure. */
  readonly readOnly: readonly Disk[]
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
 * The disks to erase. Left alone, with a line in the log: virtual media, disks of an assembled RAID array
 * (the array itself is a disk of its own), disks of an array that `skip_block_devices` names.
 * @throws ProtectedDeviceError before anything is touched, if one of them has a cluster file system and
 *   `guard_special_filesystems` is on
 */
export async function planErasure(
  deps: ErasePlanDeps,
  node: JsonObject | undefined,
): Promise<ErasePlan> {
  const candidates = await deps.listDisks(node)
  const rowsOf = await readRows(deps.exec, candidates)
  const keptVolumes = keptVolumeNames(node)
  const [disks, readOnly]: Disk[][] = [[], []]
  for (const disk of candidates) {
    const rows = rowsOf.get(disk.name) ?? []
    const reason = await whyLeftAlone(deps.root, rows, keptVolumes)
    if (reason !== undefined) deps.log.info({ device: disk.name, reason }, 'disk not erased')
    else if (rows[0]?.isReadOnly) readOnly?.push(disk)
    else disks?.push(disk)
  }
  const plan = { disks: disks ?? [], readOnly: readOnly ?? [] }
  if (deps.config.guard_special_filesystems) await assertUnprotected(deps.root, plan.disks, rowsOf)
  return plan
}

/** By disk name: its row and those of everything that lies on it; none for a file that stands for a disk. */
async function readRows(
  exec: Exec,
  disks: readonly Disk[],
): Promise<ReadonlyMap<string, readonly LsblkDevice[]>> {
  const all = await listBlockDevices(exec)
  return new Map(disks.map(({ name }) => [name, withDescendants(all, name.replace('/dev/', ''))]))
}

/** lsblk lists parents before their children. */
function withDescendants(all: readonly LsblkDevice[], kname: string): LsblkDevice[] {
  const names = new Set([kname])
  return all.filter((row) => {
    if (!names.has(row.kname) && !names.has(row.parentKname ?? '')) return false
    names.add(row.kname)
    return true
  })
}

async function whyLeftAlone(
  root: Root,
  rows: readonly LsblkDevice[],
  keptVolumes: readonly string[],
): Promise<string | undefined> {
  const disk = rows[0]
  if (disk === undefined) return undefined
  // the label alone would let a tenant's disk escape
  if (disk.label?.toLowerCase() === VIRTUAL_MEDIUM_LABEL && isVirtualMedium([disk])) {
    return 'virtual medium'
  }
  for (const row of rows.filter(({ fsType }) => fsType === 'linux_raid_member')) {
    const volume = row.label?.split(':').at(-1) ?? ''
    if (keptVolumes.includes(volume)) return `skip_block_devices names its RAID volume ${volume}`
    const arrays = await root.list(`/sys/class/block/${row.kname}/holders`)
    if (arrays.length > 0) return `${row.kname} is a member of the RAID array ${arrays.join(', ')}`
  }
  return undefined
}

/** `volume_name` entries of the skip list: RAID arrays by name, which no single disk has. */
function keptVolumeNames(node: JsonObject | undefined): string[] {
  const list = objectAt(node, 'properties')['skip_block_devices']
  if (!Array.isArray(list)) return []
  return list.flatMap((entry) => {
    const name: unknown = entry?.volume_name
    return typeof name === 'string' ? [name] : []
  })
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
    return (await listPartitions(device)).partitions.map(({ type }) => type)
  } catch {
    return []
  }
}
