// SPDX-License-Identifier: Apache-2.0
// Owns the list of disks that may become the root disk: lsblk, udev and sysfs put together (contract 5.4,
// 6.1). Does not choose one (root-device-hints.ts) and opens none.
import { readGeometry } from '../../disk/geometry.ts'
import type { Exec } from '../../system/exec.ts'
import { type LsblkDevice, listBlockDevices } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceAt, blockDeviceDirectory, blockDevicePath } from '../../system/sysfs.ts'
import { readUdevProperties } from '../../system/udev.ts'
import type { Disk, DiskPartition } from '../inventory.ts'
import { raidVolumesOf, rowsOfDisk, whyLeftAlone } from './left-alone.ts'
import { isMultipathMember, markPaths, withPathsOfMap } from './multipath.ts'

export interface DiskDeps {
  readonly exec: Exec
  readonly root: Root
  /** The option `block_devices`: these and no others, whatever their type. Empty: ask the kernel. */
  readonly listed: readonly string[]
  /** The option of that name; false unless given. */
  readonly erasesRaidMembers?: boolean
}

/**
 * What the kernel calls a disk, but nobody boots from or keeps data on: floppies, RAM disks, the flash
 * that holds the firmware (mtdblock), the boot and RPMB areas of an eMMC, memory modules (pmem, ndblk), the
 * paths of NVMe that the kernel joins itself (nvme0c0n1).
 */
const NO_DISK =
  /^(fd|ram|zram|sr|nbd\d+p|mtd|ubiblock|mmcblk\d+(boot\d|rpmb)|pmem|ndblk|nvme\d+c\d+n)/

/**
 * The disks of this machine in the kernel's order, or those of the option in its order. Those that must be
 * left alone are among them and say why. A listed device that does not exist is left out, as a disk that
 * is not there yet.
 */
export async function listDisks(deps: DiskDeps): Promise<Disk[]> {
  const links = await readLinks(deps.root)
  if (deps.listed.length > 0) return markPaths(await listListed(deps, links))
  const disks: Disk[] = []
  const rows = await listBlockDevices(deps.exec)
  for (const row of rows) {
    if (isCandidate(row) && !(await isMultipathMember(deps.root, rows, row))) {
      disks.push(await describeDisk({ ...deps, links }, rows, row.kname, false))
    }
  }
  return markPaths(disks)
}

function isCandidate(row: LsblkDevice): boolean {
  // dmraid: a volume of firmware RAID that device-mapper has assembled
  const isDisk = ['disk', 'mpath', 'dmraid'].includes(row.type) || row.type.startsWith('raid')
  return isDisk && row.sizeBytes > 0 && !NO_DISK.test(row.kname)
}

type Links = ReadonlyMap<string, readonly string[]>
type DescribeDeps = DiskDeps & { readonly links: Links }

async function listListed(deps: DiskDeps, links: Links): Promise<Disk[]> {
  const disks: Disk[] = []
  for (const path of deps.listed) {
    const device = await blockDeviceAt(deps.root, path)
    const disk = device
      ? await listedDevice({ ...deps, links }, path, device.name)
      : await listedFile(deps.root, path)
    if (disk && disk.sizeBytes > 0) disks.push(disk)
  }
  return disks
}

/** One that lsblk cannot read is not there, and does not hide the others. */
async function listedDevice(
  deps: DescribeDeps,
  path: string,
  name: string,
): Promise<Disk | undefined> {
  const rows = await listBlockDevices(deps.exec, [path]).catch(() => [])
  const own = rows.find(({ kname }) => blockDevicePath(kname) === blockDevicePath(name)) ?? rows[0]
  return own && (await describeDisk(deps, rows, own.kname, true))
}

/** A regular file stands for a disk in laboratories. */
async function listedFile(root: Root, path: string): Promise<Disk | undefined> {
  try {
    const geometry = await readGeometry(root, path)
    return {
      ...UNKNOWN,
      name: path,
      sizeBytes: geometry.sizeBytes,
      logicalSectorBytes: geometry.logicalSectorBytes,
      physicalSectorBytes: geometry.physicalSectorBytes,
    }
  } catch {
    return undefined
  }
}

const UNKNOWN = {
  model: null,
  rotational: false,
  wwn: null,
  wwnWithExtension: null,
  wwnVendorExtension: null,
  serial: null,
  vendor: null,
  hctl: null,
  byPath: null,
  transport: null,
  serials: [],
  wwns: [],
  links: [],
  partitions: [],
  raidVolumes: [],
  liesOn: [],
  isReadOnly: false,
  leftAlone: null,
  isListed: true,
} as const

/** @param all every row that is known; the disk's own is among them */
async function describeDisk(
  deps: DescribeDeps,
  all: readonly LsblkDevice[],
  kname: string,
  isListed: boolean,
): Promise<Disk> {
  const disk = await describeAlone(deps, all, kname, isListed)
  const { type, parentKnames } = all.find((row) => row.kname === kname) as LsblkDevice
  if (type !== 'mpath') return disk
  const paths: Disk[] = []
  for (const path of parentKnames) {
    if (all.some((row) => row.kname === path))
      paths.push(await describeAlone(deps, all, path, isListed))
  }
  return withPathsOfMap(disk, paths)
}

async function describeAlone(
  deps: DescribeDeps,
  all: readonly LsblkDevice[],
  kname: string,
  isListed: boolean,
): Promise<Disk> {
  const rows = rowsOfDisk(all, kname)
  const row = rows[0] as LsblkDevice
  const volumes = raidVolumesOf(all)
  const name = blockDevicePath(row.kname)
  const properties = await readUdevProperties(deps.exec, name)
  const ownLinks = deps.links.get(row.kname) ?? []
  const links = distinct([...linksOf(properties.get('DEVLINKS')), ...ownLinks]).sort()
  const property = (key: string) =>
    properties.get(`ID_${key}`) || properties.get(`DM_${key}`) || null
  const [wwn, serialShort, serialLong] = [
    property('WWN'),
    property('SERIAL_SHORT'),
    property('SERIAL'),
  ]
  return {
    name,
    model: row.model,
    sizeBytes: row.sizeBytes,
    rotational: row.rotational,
    // by lsblk before udev: udev's is the same for all LUNs of a target, its serial number of a SAS
    // disk is the WWN again and not what the sticker says
    wwn: row.wwn ?? wwn,
    wwnWithExtension: property('WWN_WITH_EXTENSION'),
    wwnVendorExtension: property('WWN_VENDOR_EXTENSION'),
    serial: row.serial ?? serialShort ?? serialLong,
    vendor: (await vendorOf(deps.root, row.kname)) ?? row.vendor,
    hctl: (await hctlOf(deps.root, row.kname)) ?? row.hctl,
    byPath: links.find((link) => link.includes('/by-path/')) ?? null,
    logicalSectorBytes: row.logicalSectorBytes,
    physicalSectorBytes: row.physicalSectorBytes,
    transport: row.transport,
    serials: distinct([row.serial, serialShort, serialLong]),
    wwns: distinct([row.wwn, wwn]),
    links,
    partitions: partitionsOf(rows, deps.links),
    raidVolumes: [...new Set(rows.flatMap((each) => volumes.get(each.kname) ?? []))],
    liesOn: parentsOf(all, row).map(blockDevicePath),
    isReadOnly: row.isReadOnly,
    leftAlone: await whyLeftAlone(
      { root: deps.root, erasesRaidMembers: deps.erasesRaidMembers ?? false },
      rows,
    ),
    isListed,
  }
}

/** Kernel names of all that the row lies on. */
function parentsOf(all: readonly LsblkDevice[], row: LsblkDevice): string[] {
  const found = new Set<string>()
  const add = ({ parentKnames }: LsblkDevice) => {
    for (const kname of parentKnames) {
      if (found.has(kname)) continue
      found.add(kname)
      for (const parent of all) if (parent.kname === kname) add(parent)
    }
  }
  add(row)
  return [...found]
}

async function vendorOf(root: Root, kname: string): Promise<string | undefined> {
  const text = await root.readText(`${blockDeviceDirectory(kname)}/device/vendor`)
  return text?.trim() || undefined
}

async function hctlOf(root: Root, kname: string): Promise<string | undefined> {
  return (await root.list(`${blockDeviceDirectory(kname)}/device/scsi_device`))[0]
}

function linksOf(devlinks: string | undefined): string[] {
  return (devlinks ?? '').split(/\s+/).filter((link) => link.startsWith('/dev/disk/'))
}

function partitionsOf(rows: readonly LsblkDevice[], links: Links): DiskPartition[] {
  return rows
    .filter(({ type }) => type === 'part')
    .map(({ kname }) => ({ name: blockDevicePath(kname), links: links.get(kname) ?? [] }))
}

/** The links of every device below /dev/disk, by kernel name; udev may not be asked for each partition. */
async function readLinks(root: Root): Promise<Links> {
  const links = new Map<string, string[]>()
  for (const folder of await root.list('/dev/disk')) {
    for (const name of await root.list(`/dev/disk/${folder}`)) {
      const path = `/dev/disk/${folder}/${name}`
      const kname = await root.linkName(path)
      if (kname !== undefined) links.set(kname, [...(links.get(kname) ?? []), path])
    }
  }
  return links
}

function distinct(values: readonly (string | null)[]): string[] {
  return [...new Set(values.filter((value) => value !== null && value !== ''))] as string[]
}
