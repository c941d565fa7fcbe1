// SPDX-License-Identifier: Apache-2.0
// Owns which disks an array of md lies on, by sysfs. Does not open any.
import type { Root } from '../../system/root.ts'
import {
  blockDeviceDirectory,
  findBlockDevice,
  listSlaves,
  type SysfsBlockDevice,
} from '../../system/sysfs.ts'

/**
 * True for an array that firmware cannot read: it starts from the members then. What a firmware has made itself
 * (`external:imsm`) is a disk for it.
 * @param path by its kernel name, `/dev/md127`
 */
export async function isSoftwareArray(root: Root, path: string): Promise<boolean> {
  const directory = blockDeviceDirectory(path.slice('/dev/'.length))
  const metadata = await root.readText(`${directory}/md/metadata_version`)
  return metadata !== undefined && !metadata.startsWith('external:')
}

/** The whole disks that an array's members lie on, each once; none for what is no array. */
export async function listMemberDisks(
  root: Root,
  array: SysfsBlockDevice,
): Promise<SysfsBlockDevice[]> {
  const disks = new Map<string, SysfsBlockDevice>()
  for (const member of await listSlaves(root, array)) {
    const number = await root.readText(`${member.diskDirectory}/dev`)
    const disk = number === undefined ? undefined : await findBlockDevice(root, number)
    if (disk !== undefined) disks.set(disk.name, disk)
  }
  return [...disks.values()]
}
