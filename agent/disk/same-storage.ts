// SPDX-License-Identifier: Apache-2.0
// Owns the question whether two paths lead to the same bytes: by another name, a hard link, a symlink, a
// partition of the disk, a loop device and its file, a file on the disk's file system. Opens nothing.
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { AgentError } from '../core/errors.ts'
import { listMounts } from '../system/mounts.ts'
import type { Root } from '../system/root.ts'
import {
  findBlockDevice,
  formatDeviceNumber,
  listSlaves,
  type SysfsBlockDevice,
} from '../system/sysfs.ts'

/** `block 8:1`, `file 64513:42`: one name for each thing that holds bytes. */
type Storage = string

interface Reach {
  /** The thing itself, under whichever name its bytes are the same: a loop device and its file. */
  readonly own: Set<Storage>
  /** All that it lies on, itself too. */
  readonly below: Set<Storage>
}

/**
 * Throws TargetInUseError if what is read at `sourcePath` would be overwritten by writing to `targetPath`. A
 * path that does not exist overlaps with nothing: whoever opens it says so.
 * @param root whose sysfs and mounts are asked
 */
export async function assertApart(
  root: Root,
  sourcePath: string,
  targetPath: string,
): Promise<void> {
  const source = await reachOf(root, sourcePath)
  const target = await reachOf(root, targetPath)
  const isShared =
    [...source.own].some((storage) => target.below.has(storage)) ||
    [...target.own].some((storage) => source.below.has(storage))
  if (!isShared) return
  throw new AgentError(
    'TargetInUseError',
    `the image ${sourcePath} lies on the target ${targetPath}, or is it by another name: writing would destroy ` +
      'what is to be written. Copy it elsewhere, or choose another device',
  )
}

async function reachOf(root: Root, path: string): Promise<Reach> {
  const reach: Reach = { own: new Set(), below: new Set() }
  await addPath(root, path, true, reach)
  return reach
}

async function addPath(root: Root, path: string, isOwn: boolean, reach: Reach): Promise<void> {
  const stats = await statOrUndefined(path)
  if (stats?.isBlockDevice()) {
    const number = formatDeviceNumber(stats.rdev)
    if (!note(`block ${number}`, isOwn, reach)) return
    const device = await findBlockDevice(root, number)
    if (device !== undefined) await addBelow(root, device, isOwn, reach)
  } else if (stats?.isFile()) {
    if (!note(`file ${stats.dev}:${stats.ino}`, isOwn, reach)) return
    const holder = await fileSystemDevice(root, stats)
    if (holder !== undefined) await addDevice(root, holder, false, reach)
  }
}

async function addDevice(
  root: Root,
  device: SysfsBlockDevice,
  isOwn: boolean,
  reach: Reach,
): Promise<void> {
  if (note(`block ${device.deviceNumber}`, isOwn, reach)) await addBelow(root, device, isOwn, reach)
}

/** What a device lies on: its whole disk, its backing file, the devices it is made of. */
async function addBelow(
  root: Root,
  device: SysfsBlockDevice,
  isOwn: boolean,
  reach: Reach,
): Promise<void> {
  if (device.isPartition) {
    const number = await root.readText(`${device.diskDirectory}/dev`)
    const disk = number && (await findBlockDevice(root, number))
    if (disk) await addDevice(root, disk, false, reach)
    return
  }
  const backingFile = await root.readText(`${device.directory}/loop/backing_file`)
  if (backingFile) await addPath(root, backingFile, isOwn, reach)
  const isMultipath = (await root.readText(`${device.directory}/dm/uuid`))?.startsWith('mpath-')
  for (const slave of await listSlaves(root, device)) {
    await addDevice(root, slave, isOwn && isMultipath === true, reach)
  }
}

/** False if it was known already: stacks of devices have no circles, but a path may lead twice to one. */
function note(storage: Storage, isOwn: boolean, { own, below }: Reach): boolean {
  const isNew = !below.has(storage) || (isOwn && !own.has(storage))
  below.add(storage)
  if (isOwn) own.add(storage)
  return isNew
}

/** btrfs and the like have an anonymous device number; the mount's source names the node. */
async function fileSystemDevice(root: Root, stats: Stats): Promise<SysfsBlockDevice | undefined> {
  const number = formatDeviceNumber(stats.dev)
  const device = await findBlockDevice(root, number)
  if (device !== undefined) return device
  for (const { deviceNumber, source } of await listMounts(root)) {
    if (deviceNumber !== number || !source.startsWith('/dev/')) continue
    const node = await statOrUndefined(source)
    if (node?.isBlockDevice()) return await findBlockDevice(root, formatDeviceNumber(node.rdev))
  }
  return undefined
}

async function statOrUndefined(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch {
    return undefined
  }
}
