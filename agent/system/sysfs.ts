// SPDX-License-Identifier: Apache-2.0
// Owns what sysfs says of block devices: size, sector sizes, partitions, holders. Does not open the
// device node and does not judge what it reads.
import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SYSFS_SECTOR_BYTES } from '../core/units.ts'
import type { DiskWrites } from '../telemetry/metrics/metrics.ts'
import type { Root } from './root.ts'

/** A block device of the kernel. */
export interface SysfsBlockDevice {
  /** Kernel name: `sda`, `nvme0n1p1`, `loop7`. */
  readonly name: string
  /** `major:minor`. */
  readonly deviceNumber: string
  /** Its directory as seen through Root: `/sys/class/block/sda`. */
  readonly directory: string
  /** The same of the disk a partition lies on; equal to `directory` for a whole disk. */
  readonly diskDirectory: string
  readonly isPartition: boolean
}

/** The device node of a kernel name; sysfs writes `!` for the slash of `cciss/c0d0`. */
export function blockDevicePath(name: string): string {
  return `/dev/${name.replaceAll('!', '/')}`
}

/** Its directory as sysfs writes it, for a kernel name of either spelling. */
export function blockDeviceDirectory(name: string): string {
  return `/sys/class/block/${name.replaceAll('/', '!')}`
}

/** `major:minor` of a device node's st_rdev (gnu_dev_major(3), gnu_dev_minor(3)). */
export function formatDeviceNumber(rdev: number): string {
  const number = BigInt(rdev)
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n)
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}

/**
 * The block device a path leads to, symlinks followed: the node lies on this machine, what it is `root`
 * tells. Undefined unless it is a block device that `root`'s sysfs knows.
 */
export async function blockDeviceAt(
  root: Root,
  path: string,
): Promise<SysfsBlockDevice | undefined> {
  const deviceNumber = await deviceNumberOf(path)
  return deviceNumber === undefined ? undefined : await findBlockDevice(root, deviceNumber)
}

/** `major:minor` behind a path, symlinks followed; undefined unless it is a block device. */
async function deviceNumberOf(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path)
    return stats.isBlockDevice() ? formatDeviceNumber(stats.rdev) : undefined
  } catch {
    return undefined
  }
}

/** The block device with this `major:minor`; undefined if the kernel has none. */
export async function findBlockDevice(
  root: Root,
  deviceNumber: string,
): Promise<SysfsBlockDevice | undefined> {
  const name = await nameOf(root, deviceNumber)
  if (name === undefined) return undefined
  const directory = `/sys/class/block/${name}`
  const isPartition = (await root.readText(`${directory}/partition`)) !== undefined
  const real = isPartition ? await root.resolve(directory) : undefined
  const diskDirectory = real ? `/sys/class/block/${dirname(real).split('/').at(-1)}` : directory
  return { name, deviceNumber, directory, diskDirectory, isPartition }
}

async function nameOf(root: Root, deviceNumber: string): Promise<string | undefined> {
  const linked = await root.linkName(`/sys/dev/block/${deviceNumber}`)
  if (linked !== undefined) return linked
  for (const name of await root.list('/sys/class/block')) {
    if ((await root.readText(`/sys/class/block/${name}/dev`)) === deviceNumber) return name
  }
  return undefined
}

/** Size in bytes; the attribute counts 512-byte units whatever the sector size is. */
export async function readSizeBytes(root: Root, device: SysfsBlockDevice): Promise<number> {
  return Number((await root.readText(`${device.directory}/size`)) ?? 0) * SYSFS_SECTOR_BYTES
}

/** An attribute of the disk's request queue, for a partition that of its disk; undefined if unset. */
export async function readQueueNumber(
  root: Root,
  device: SysfsBlockDevice,
  attribute: string,
): Promise<number | undefined> {
  const value = Number(await root.readText(`${device.diskDirectory}/queue/${attribute}`))
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/** The partitions the kernel knows of this disk, by name. */
export async function listKernelPartitions(
  root: Root,
  device: SysfsBlockDevice,
): Promise<SysfsBlockDevice[]> {
  if (device.isPartition) return []
  const partitions: SysfsBlockDevice[] = []
  for (const name of await root.list(device.directory)) {
    const directory = join(device.directory, name)
    if ((await root.readText(`${directory}/partition`)) === undefined) continue
    const deviceNumber = (await root.readText(`${directory}/dev`)) ?? ''
    partitions.push({
      name,
      deviceNumber,
      directory,
      diskDirectory: device.directory,
      isPartition: true,
    })
  }
  return partitions
}

/** Names of the devices stacked on this one: dm-0, md127, bcache0. */
export function listHolders(root: Root, device: SysfsBlockDevice): Promise<string[]> {
  return root.list(`${device.directory}/holders`)
}

/** The devices this one is made of: the members of an array, the paths of a multipath device. */
export async function listSlaves(
  root: Root,
  device: SysfsBlockDevice,
): Promise<SysfsBlockDevice[]> {
  const slaves: SysfsBlockDevice[] = []
  for (const name of await root.list(`${device.directory}/slaves`)) {
    const number = await root.readText(`/sys/class/block/${name}/dev`)
    const slave = number && (await findBlockDevice(root, number))
    if (slave) slaves.push(slave)
  }
  return slaves
}

/** Names and backing files of the loop devices that are set up. */
export async function listLoopBackings(root: Root): Promise<{ name: string; file: string }[]> {
  const backings: { name: string; file: string }[] = []
  for (const name of await root.list('/sys/class/block')) {
    if (!/^loop\d+$/.test(name)) continue
    const file = await root.readText(`/sys/class/block/${name}/loop/backing_file`)
    if (file) backings.push({ name, file })
  }
  return backings
}

/**
 * What the kernel has written to whole disks since it was started; those that it does not know are left out.
 * @param paths `/dev/sda`
 */
export async function readDiskWrites(root: Root, paths: readonly string[]): Promise<DiskWrites[]> {
  const found = await Promise.all(
    paths.map(async (path): Promise<DiskWrites[]> => {
      const device = path.replace(/^\/dev\//, '')
      const text = await root.readText(`${blockDeviceDirectory(device)}/stat`)
      // Documentation/block/stat.rst: write sectors are the 7th figure, write ticks (ms) the 8th
      const [sectors, ticks] = (text?.trim().split(/\s+/) ?? []).slice(6, 8).map(Number)
      if (sectors === undefined || ticks === undefined) return []
      return [{ device, bytes: sectors * SYSFS_SECTOR_BYTES, seconds: ticks / 1000 }]
    }),
  )
  return found.flat()
}
