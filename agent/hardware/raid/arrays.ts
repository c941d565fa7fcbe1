// SPDX-License-Identifier: Apache-2.0
// Owns which md arrays the machine has: by sysfs, with the names that their superblocks carry. Also those that
// nothing has started. Does not change them.
import { isObject, type JsonObject, objectAt } from '../../core/json.ts'
import type { LsblkDevice } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory, blockDevicePath } from '../../system/sysfs.ts'

/** libblkid's name of md's own superblocks, 0.90 and 1.x. */
export const MD_SIGNATURE = 'linux_raid_member'

/** An array of md's own metadata: what a firmware has made is not Ironic's to delete. */
export interface MdArray {
  /** `md127`. */
  readonly kname: string
  /** `/dev/md127`. */
  readonly path: string
  /** False where too few members are there, or nobody has started it: it cannot be read. */
  readonly isActive: boolean
  /** md's word, `raid10`; empty for one that nobody has started. */
  readonly level: string
  /** Members that it is made for; some may be missing. 0 for one that nobody has started. */
  readonly memberCount: number
  /** Kernel names of members and spares. */
  readonly members: readonly string[]
  /** Those of them that md takes for failed. */
  readonly faulty: readonly string[]
  /** Kernel names of the disks that these lie on. */
  readonly disks: readonly string[]
  /** Without the host's name before it; null for metadata 0.90. */
  readonly name: string | null
}

/** @param rows every row of lsblk: what members are partitions of, and their labels */
export async function listArrays(root: Root, rows: readonly LsblkDevice[]): Promise<MdArray[]> {
  const arrays: MdArray[] = []
  for (const kname of await root.list('/sys/class/block')) {
    const directory = blockDeviceDirectory(kname)
    const state = await root.readText(`${directory}/md/array_state`)
    if (state === undefined) continue
    const members = await root.list(`${directory}/slaves`)
    const metadata = (await root.readText(`${directory}/md/metadata_version`)) ?? ''
    // `clear` without members is the node of an array that is no more
    if (metadata.startsWith('external:') || members.length === 0) continue
    arrays.push({
      kname,
      path: blockDevicePath(kname),
      isActive: !['clear', 'inactive'].includes(state),
      level: (await root.readText(`${directory}/md/level`)) ?? '',
      memberCount: Number((await root.readText(`${directory}/md/raid_disks`)) ?? 0),
      members,
      faulty: await faultyOf(root, directory, members),
      disks: [...new Set(members.flatMap((member) => disksOf(rows, member)))],
      name: volumeNameOf(rows, members),
    })
  }
  return arrays
}

async function faultyOf(
  root: Root,
  directory: string,
  members: readonly string[],
): Promise<string[]> {
  const faulty: string[] = []
  for (const member of members) {
    const state = await root.readText(`${directory}/md/dev-${member}/state`)
    if (state?.split(',').includes('faulty')) faulty.push(member)
  }
  return faulty
}

/** The disks that a device lies on: its own name for a disk. */
export function disksOf(rows: readonly LsblkDevice[], kname: string): string[] {
  const row = rows.find((each) => each.kname === kname)
  return row?.type === 'part' ? row.parentKnames.flatMap((name) => disksOf(rows, name)) : [kname]
}

function volumeNameOf(rows: readonly LsblkDevice[], members: readonly string[]): string | null {
  const labels = rows.filter(({ kname }) => members.includes(kname)).map(({ label }) => label)
  // md writes `host:name`
  return (
    labels
      .find((label) => label !== null)
      ?.split(':')
      .at(-1) || null
  )
}

/** `volume_name` entries of `properties.skip_block_devices`: RAID arrays by name, which no single disk has. */
export function keptVolumeNames(node: JsonObject | undefined): string[] {
  const list = objectAt(node, 'properties')['skip_block_devices']
  if (!Array.isArray(list)) return []
  return list.flatMap((entry: unknown) => {
    const name = isObject(entry) ? entry['volume_name'] : undefined
    return typeof name === 'string' ? [name] : []
  })
}

/** What becomes of an array when the configuration is deleted (contract 7.5). */
export type Fate = 'delete' | 'wipe' | 'keep'

/** The boot loader's array of ESPs (contract 5.5). */
const ESP_ARRAY = 'esp'

/**
 * By kernel name. Kept are arrays that `skip_block_devices` names and those on disks or arrays that it names; one that shares
 * a disk with such an array keeps its superblocks and loses its content, or the table of that disk would have to
 * change. The ESPs beside a kept array stay, since it boots by them.
 */
export function fatesOf(
  arrays: readonly MdArray[],
  keptNames: readonly string[],
  keptDisks: ReadonlySet<string>,
): ReadonlyMap<string, Fate> {
  const byKname = new Map(arrays.map((array) => [array.kname, array]))
  /** Itself, the arrays that it is made of, and their disks. */
  const below = (kname: string): string[] => {
    const array = byKname.get(kname)
    return array === undefined ? [kname] : [kname, ...array.disks.flatMap(below)]
  }
  const isNamed = (kname: string) => {
    const name = byKname.get(kname)?.name
    return keptDisks.has(kname) || (typeof name === 'string' && keptNames.includes(name))
  }
  const isKept = ({ kname }: MdArray) => below(kname).some(isNamed)
  const shared = new Set(arrays.filter(isKept).flatMap(({ kname }) => below(kname)))
  const fateOf = (array: MdArray): Fate => {
    if (isKept(array)) return 'keep'
    if (!array.disks.some((disk) => shared.has(disk))) return 'delete'
    return array.name === ESP_ARRAY ? 'keep' : 'wipe'
  }
  return new Map(arrays.map((array) => [array.kname, fateOf(array)]))
}
