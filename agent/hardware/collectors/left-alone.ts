// SPDX-License-Identifier: Apache-2.0
// Owns why a disk is no disk of its own: it is part of a RAID array or of a multipath LUN, or something
// holds it (docs/design/130-disks-left-alone.md). Does not list disks and opens none.
import type { LsblkDevice } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory } from '../../system/sysfs.ts'
import type { LeftAlone } from '../inventory.ts'

export interface LeftAloneDeps {
  readonly root: Root
  /** The option `erase_raid_members`: a signature alone makes no member. */
  readonly erasesRaidMembers: boolean
}

/**
 * libblkid's names of RAID superblocks: linux_raid_member, isw_raid_member, ddf_raid_member and those of
 * other firmware. They tell members apart where nothing has assembled the array.
 */
const RAID_MEMBER = /_raid_member$/
/** udev's name for a path that multipathd knows; no signature on the disk. */
const PATH_MEMBER = 'mpath_member'
/** dm's uuid of a partition that kpartx made (`part1-mpath-…`): part of the disk, not a holder. */
const PARTITION_UUID = /^part\d+-/

/** True for libblkid's name of a RAID superblock. */
export function isRaidSignature(type: string): boolean {
  return RAID_MEMBER.test(type)
}

/**
 * The row of a disk and those of everything that lies on it, its own first; none if lsblk has no such disk. The kernel
 * shows partitions of a multipath map on its paths alone: those of the first path that has some count as the map's.
 */
export function rowsOfDisk(all: readonly LsblkDevice[], kname: string): LsblkDevice[] {
  const map = all.find((row) => row.kname === kname && row.type === 'mpath')
  return rowsOn(map === undefined ? all : [...all, ...partitionsOfPaths(all, map)], kname)
}

function partitionsOfPaths(all: readonly LsblkDevice[], map: LsblkDevice): LsblkDevice[] {
  for (const path of map.parentKnames) {
    const parts = all.filter(
      ({ type, parentKnames }) => type === 'part' && parentKnames.includes(path),
    )
    if (parts.length > 0) return parts.map((part) => ({ ...part, parentKnames: [map.kname] }))
  }
  return []
}

function rowsOn(all: readonly LsblkDevice[], kname: string): LsblkDevice[] {
  const names = new Set([kname])
  // a device may be listed before the second of its parents
  for (let before = 0; before !== names.size; ) {
    before = names.size
    for (const row of all)
      if (row.parentKnames.some((name) => names.has(name))) names.add(row.kname)
  }
  const own = all.filter((row) => row.kname === kname)
  const others = all.filter((row) => row.kname !== kname && names.has(row.kname))
  return [...own, ...new Map(others.map((row) => [row.kname, row])).values()]
}

/** Names of RAID volumes by kernel name: of their members, and of what lies on these. */
export function raidVolumesOf(all: readonly LsblkDevice[]): ReadonlyMap<string, readonly string[]> {
  const volumes = new Map<string, readonly string[]>()
  for (const { kname, fsType, label } of all) {
    // md writes `host:name`
    const volume = label?.split(':').at(-1) ?? ''
    if (volume === '' || !isRaidSignature(fsType ?? '')) continue
    for (const row of all) {
      if (row.kname !== kname && !row.parentKnames.includes(kname)) continue
      volumes.set(row.kname, [...(volumes.get(row.kname) ?? []), volume])
    }
  }
  return volumes
}

/**
 * Why the disk must be left alone; null if it is a disk of its own. Signatures count on
 * the disk and on its partitions; holders count whatever the signature.
 * @param rows as {@link rowsOfDisk} gives them
 */
export async function whyLeftAlone(
  deps: LeftAloneDeps,
  rows: readonly LsblkDevice[],
): Promise<LeftAlone | null> {
  const reason = await whyMember(deps, rows)
  return reason === null ? null : { reason, isWanted: false }
}

async function whyMember(
  { root, erasesRaidMembers }: LeftAloneDeps,
  rows: readonly LsblkDevice[],
): Promise<string | null> {
  const [disk] = rows
  if (disk === undefined) return null
  const parts = [disk, ...partitionsOf(rows, disk.kname)]
  for (const { kname, fsType } of parts) {
    const holders = await holdersOf(root, rows, kname)
    if (holders.length > 0) return describeHolders(kname, fsType, holders, rows)
  }
  for (const name of await kernelPartitions(root, disk.kname)) {
    const holders = await holdersOf(root, rows, name)
    if (holders.length > 0) return describeHolders(name, null, holders, rows)
  }
  for (const { kname, fsType, label } of parts) {
    if (fsType === PATH_MEMBER)
      return `${kname} is a path of a multipath disk by udev's word, and no map has it (see multipath -ll)`
    if (fsType === null || !isRaidSignature(fsType) || erasesRaidMembers) continue
    return describeSignature(kname, fsType, label)
  }
  return null
}

/** The reason for a superblock that nothing has assembled, with what the operator can do. */
export function describeSignature(name: string, type: string, label: string | null): string {
  const array = label === null ? 'a RAID array' : `the RAID array ${label}`
  return `${name} is a member of ${array} by its signature ${type} (see the option erase_raid_members)`
}

function partitionsOf(rows: readonly LsblkDevice[], kname: string): LsblkDevice[] {
  const own = rows.filter((row) => row.type === 'part' && row.parentKnames.includes(kname))
  return own.flatMap((row) => [row, ...partitionsOf(rows, row.kname)])
}

/** What lies on the device by lsblk's tree and by sysfs; either may know more. */
async function holdersOf(
  root: Root,
  rows: readonly LsblkDevice[],
  kname: string,
): Promise<string[]> {
  const holders = rows
    .filter(({ type, parentKnames }) => type !== 'part' && parentKnames.includes(kname))
    .map((row) => row.kname)
  for (const holder of await root.list(`${blockDeviceDirectory(kname)}/holders`)) {
    const uuid = await root.readText(`/sys/class/block/${holder}/dm/uuid`)
    if (!PARTITION_UUID.test(uuid ?? '')) holders.push(holder)
  }
  return [...new Set(holders)].sort()
}

async function kernelPartitions(root: Root, kname: string): Promise<string[]> {
  const directory = blockDeviceDirectory(kname)
  const names: string[] = []
  for (const name of await root.list(directory)) {
    if ((await root.readText(`${directory}/${name}/partition`)) !== undefined) names.push(name)
  }
  return names
}

function describeHolders(
  kname: string,
  fsType: string | null,
  holders: readonly string[],
  rows: readonly LsblkDevice[],
): string {
  const names = holders.join(', ')
  const types = rows.filter((row) => holders.includes(row.kname)).map(({ type }) => type)
  const isRaid =
    isRaidSignature(fsType ?? '') ||
    types.some((type) => /raid/.test(type)) ||
    holders.some((name) => /^md/.test(name))
  if (isRaid) return `${kname} is a member of the RAID array ${names}`
  if (types.includes('mpath')) return `${kname} is a path of the multipath disk ${names}`
  return `${kname} is held by ${names}`
}
