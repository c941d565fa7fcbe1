// SPDX-License-Identifier: Apache-2.0
// Owns the list of disks that may become the root disk: lsblk, udev and sysfs put together (contract 5.4,
// 6.1). Does not choose one (root-device-hints.ts) and opens none.
import { readGeometry } from '../../disk/geometry.ts'
import type { Exec } from '../../system/exec.ts'
import { type LsblkDevice, listBlockDevices } from '../../system/lsblk.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceAt } from '../../system/sysfs.ts'
import { readUdevProperties } from '../../system/udev.ts'
import type { Disk } from '../inventory.ts'

export interface DiskDeps {
  readonly exec: Exec
  readonly root: Root
  /** The option `block_devices`: these and no others, whatever their type. Empty: ask the kernel. */
  readonly listed: readonly string[]
}

/** Floppies, RAM disks, and what the kernel calls a disk but nobody would boot from. */
const NEVER_ROOT = /^(fd|ram|zram|sr|nbd\d+p)/

/**
 * Root disk candidates in the kernel's order, or in the order of the option. A listed device that does
 * not exist is left out, as a disk that is not there yet.
 */
export async function listDisks(deps: DiskDeps): Promise<Disk[]> {
  if (deps.listed.length > 0) return await listListed(deps)
  const disks: Disk[] = []
  for (const row of await listBlockDevices(deps.exec)) {
    if (isCandidate(row) && !(await isMultipathMember(deps.root, row))) {
      disks.push(await describeDisk(deps, row, false))
    }
  }
  return disks
}

function isCandidate(row: LsblkDevice): boolean {
  const isDisk = row.type === 'disk' || row.type === 'mpath' || row.type.startsWith('raid')
  return isDisk && row.sizeBytes > 0 && !NEVER_ROOT.test(row.kname)
}

/** A path of a multipath disk is hidden in favour of its device-mapper disk (contract 7.7). */
async function isMultipathMember(root: Root, row: LsblkDevice): Promise<boolean> {
  if (row.fsType === 'mpath_member') return true
  for (const holder of await root.list(`/sys/class/block/${row.kname}/holders`)) {
    const uuid = await root.readText(`/sys/class/block/${holder}/dm/uuid`)
    if (uuid?.startsWith('mpath-')) return true
  }
  return false
}

async function listListed(deps: DiskDeps): Promise<Disk[]> {
  const disks: Disk[] = []
  for (const path of deps.listed) {
    const disk = (await blockDeviceAt(deps.root, path))
      ? await listedDevice(deps, path)
      : await listedFile(deps.root, path)
    if (disk && disk.sizeBytes > 0) disks.push(disk)
  }
  return disks
}

async function listedDevice(deps: DiskDeps, path: string): Promise<Disk | undefined> {
  const [row] = await listBlockDevices(deps.exec, [path])
  return row && (await describeDisk(deps, row, true))
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
  isListed: true,
} as const

async function describeDisk(deps: DiskDeps, row: LsblkDevice, isListed: boolean): Promise<Disk> {
  const name = `/dev/${row.kname}`
  const properties = await readUdevProperties(deps.exec, name)
  const property = (key: string) =>
    properties.get(`ID_${key}`) ?? properties.get(`DM_${key}`) ?? null
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
    wwn: wwn ?? row.wwn,
    wwnWithExtension: property('WWN_WITH_EXTENSION'),
    wwnVendorExtension: property('WWN_VENDOR_EXTENSION'),
    serial: serialShort ?? serialLong ?? row.serial,
    vendor: (await vendorOf(deps.root, row.kname)) ?? row.vendor,
    hctl: (await hctlOf(deps.root, row.kname)) ?? row.hctl,
    byPath: byPathOf(properties.get('DEVLINKS')),
    logicalSectorBytes: row.logicalSectorBytes,
    physicalSectorBytes: row.physicalSectorBytes,
    transport: row.transport,
    serials: distinct([row.serial, serialShort, serialLong]),
    wwns: distinct([row.wwn, wwn]),
    isListed,
  }
}

async function vendorOf(root: Root, kname: string): Promise<string | undefined> {
  const text = await root.readText(`/sys/class/block/${kname}/device/vendor`)
  return text?.trim() || undefined
}

async function hctlOf(root: Root, kname: string): Promise<string | undefined> {
  return (await root.list(`/sys/class/block/${kname}/device/scsi_device`))[0]
}

function byPathOf(devlinks: string | undefined): string | null {
  const links = (devlinks ?? '').split(/\s+/).filter((link) => link.includes('/by-path/'))
  return links.sort()[0] ?? null
}

function distinct(values: readonly (string | null)[]): string[] {
  return [...new Set(values.filter((value) => value !== null && value !== ''))] as string[]
}
