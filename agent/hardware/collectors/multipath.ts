// SPDX-License-Identifier: Apache-2.0
// Owns the ways to a LUN: which disks are paths, joined by a multipath map or by nobody, and what a map takes over
// from its paths (docs/design/310-multipath.md). Does not join any; multipathd of the ramdisk does.
import type { LsblkDevice } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory } from '../../system/sysfs.ts'
import type { Disk, DiskPartition } from '../inventory.ts'

/**
 * A path of a multipath disk is hidden in favour of its device-mapper disk (contract 7.7). One that udev calls a path
 * and no map has is not: it is in the list and says why it is left alone (left-alone.ts).
 */
export async function isMultipathMember(
  root: Root,
  rows: readonly LsblkDevice[],
  row: LsblkDevice,
): Promise<boolean> {
  if (rows.some(({ type, parentKnames }) => type === 'mpath' && parentKnames.includes(row.kname)))
    return true
  for (const holder of await root.list(`${blockDeviceDirectory(row.kname)}/holders`)) {
    const uuid = await root.readText(`/sys/class/block/${holder}/dm/uuid`)
    if (uuid?.startsWith('mpath-')) return true
  }
  return false
}

/**
 * A map as the disk that its paths are: the kernel tells of a map no more than its size. Hints match any path's serial
 * number, WWN and link; of other attributes the first path's.
 */
export function withPathsOfMap(map: Disk, paths: readonly Disk[]): Disk {
  const first = <K extends keyof Disk>(key: K): Disk[K] =>
    map[key] ?? paths.find((path) => path[key] !== null)?.[key] ?? map[key]
  const all = <K extends 'serials' | 'wwns' | 'links'>(key: K): readonly string[] => [
    ...new Set([...map[key], ...paths.flatMap((path) => path[key])]),
  ]
  return {
    ...map,
    model: first('model'),
    vendor: first('vendor'),
    // dm's own names for these are made up of the paths' (DM_SERIAL)
    serial: paths[0]?.serial ?? map.serial,
    wwn: paths[0]?.wwn ?? map.wwn,
    wwnWithExtension: first('wwnWithExtension'),
    wwnVendorExtension: first('wwnVendorExtension'),
    hctl: first('hctl'),
    byPath: first('byPath'),
    transport: first('transport'),
    serials: all('serials'),
    wwns: all('wwns'),
    links: all('links'),
    partitions: [...map.partitions, ...paths.flatMap(nameable)],
  }
}

function nameable({ name, links, hctl, partitions }: Disk): DiskPartition[] {
  return [{ name, links, hctl }, ...partitions]
}

/** True for the node of a map: dm devices of other kinds are no disks (disks.ts). */
export function isMap(path: string): boolean {
  return /^\/dev\/dm-\d+$/.test(path)
}

/** Disks of these are never reached by two ways, and cheap ones share made-up numbers. */
const PRIVATE_TRANSPORTS: ReadonlySet<string> = new Set(['usb', 'sata', 'ata', 'ide', 'mmc', 'spi'])
/** Fabrics and shelves; by these a serial number alone tells a LUN. */
const SHARED_TRANSPORTS: ReadonlySet<string> = new Set([
  'fc',
  'fcoe',
  'iscsi',
  'sas',
  'srp',
  'nvme',
])

/**
 * Sets apart the disks that are several ways to one LUN, where no multipathd has joined them: writing
 * to each of them would write the LUN several times at once, maybe by a path that is passive. Where there is a map the
 * LUN is written by that, and a path that it lacks by nobody.
 */
export function markPaths(disks: readonly Disk[]): Disk[] {
  return disks.map((disk) => {
    const paths = disks.filter((other) => other === disk || isSameLun(disk, other))
    if (disk.leftAlone !== null || paths.length === 1 || isMap(disk.name)) return disk
    return { ...disk, leftAlone: { reason: whyPath(disk, paths), isWanted: false } }
  })
}

function whyPath(disk: Disk, paths: readonly Disk[]): string {
  const map = paths.find(({ name }) => isMap(name))
  if (map !== undefined)
    return `${disk.name} is a path of the multipath disk ${map.name}, which lacks it`
  const names = paths.map(({ name }) => name).join(', ')
  const lun = wwnOf(disk) ?? disk.serial
  return `${names} are paths of one LUN, ${lun}, and no multipathd has joined them`
}

function isSameLun(a: Disk, b: Disk): boolean {
  if (a.sizeBytes !== b.sizeBytes || !canBePath(a) || !canBePath(b)) return false
  const [first, second] = [wwnOf(a), wwnOf(b)]
  const hasSerials = a.serials.length > 0 && b.serials.length > 0
  const sharesSerial = a.serials.some((serial) => b.serials.includes(serial))
  if (first !== null && second !== null) return first === second && (sharesSerial || !hasSerials)
  return sharesSerial && a.model === b.model && a.vendor === b.vendor && isShared(a) && isShared(b)
}

/** The longest spelling: LUNs of one array may share all but the extension. */
function wwnOf(disk: Disk): string | null {
  return disk.wwnWithExtension ?? disk.wwns[0] ?? null
}

function canBePath({ name, transport }: Disk): boolean {
  return (
    (isMap(name) || /^\/dev\/(sd|nvme|dasd)/.test(name)) && !PRIVATE_TRANSPORTS.has(transport ?? '')
  )
}

function isShared({ transport }: Disk): boolean {
  return SHARED_TRANSPORTS.has(transport ?? '')
}
