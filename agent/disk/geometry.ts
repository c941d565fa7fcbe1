// SPDX-License-Identifier: Apache-2.0
// Owns the size and sector sizes of a disk or of the regular file that stands in for one.
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { AgentError, messageOf } from '../core/errors.ts'
import type { Root } from '../system/root.ts'
import {
  blockDeviceAt,
  formatDeviceNumber,
  readQueueNumber,
  readSizeBytes,
} from '../system/sysfs.ts'

/** What the kernel says of a device; all in bytes. */
export interface DeviceGeometry {
  readonly path: string
  readonly sizeBytes: number
  readonly logicalSectorBytes: number
  readonly physicalSectorBytes: number
  /** False for a regular file that stands in for a disk. */
  readonly isBlockDevice: boolean
}

/** Sector size of a regular file that stands in for a disk. */
const FILE_SECTOR_BYTES = 512

/**
 * Size and sectors of a block device (from sysfs: BLKGETSIZE64 is out of JavaScript's reach) or regular
 * file. Throws DeviceNotFound if there is no such path, BlockDeviceError if it is neither of the two or
 * the kernel tells no size.
 */
export async function readGeometry(root: Root, path: string): Promise<DeviceGeometry> {
  const stats = await statOf(path)
  if (stats.isFile()) {
    return {
      path,
      sizeBytes: stats.size,
      logicalSectorBytes: FILE_SECTOR_BYTES,
      physicalSectorBytes: FILE_SECTOR_BYTES,
      isBlockDevice: false,
    }
  }
  if (!stats.isBlockDevice()) {
    const kind = stats.isDirectory() ? 'a folder, ' : ''
    throw new AgentError(
      'BlockDeviceError',
      `${path} is ${kind}neither a block device nor a regular file`,
    )
  }
  return await geometryOfNode(root, path, formatDeviceNumber(stats.rdev))
}

/** True if the kernel will refuse every write: a write-protected medium, `blockdev --setro`. */
export async function isReadOnly(root: Root, path: string): Promise<boolean> {
  const device = await blockDeviceAt(root, path)
  return device !== undefined && (await root.readText(`${device.directory}/ro`)) === '1'
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path)
  } catch (error) {
    throw new AgentError('DeviceNotFound', `${path}: ${messageOf(error)}`, { cause: error })
  }
}

async function geometryOfNode(
  root: Root,
  path: string,
  deviceNumber: string,
): Promise<DeviceGeometry> {
  const device = await blockDeviceAt(root, path)
  const sizeBytes = device === undefined ? 0 : await readSizeBytes(root, device)
  if (device === undefined || !(sizeBytes > 0)) {
    throw new AgentError(
      'BlockDeviceError',
      `sysfs tells no size of ${path} (${deviceNumber}); is there a medium in it?`,
    )
  }
  const logicalSectorBytes = (await readQueueNumber(root, device, 'logical_block_size')) ?? 512
  return {
    path,
    sizeBytes,
    logicalSectorBytes,
    physicalSectorBytes:
      (await readQueueNumber(root, device, 'physical_block_size')) ?? logicalSectorBytes,
    isBlockDevice: true,
  }
}
