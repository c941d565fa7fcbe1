// SPDX-License-Identifier: Apache-2.0
// Owns the config drive on the disk (contract 5.3.8): find or make its partition, write it, compare. By byte
// offsets of the whole disk: no partition nodes, no mounts. Does not decode what Ironic sent; decode.ts does.
import { AgentError } from '../../core/errors.ts'
import { endOf } from '../../core/extent.ts'
import { MiB, roundUp } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { allocateAligned } from '../aligned-pool.ts'
import type { DiskBytes } from '../block-device.ts'
import { probeFileSystem } from '../file-system-probe.ts'
import type { DeviceGeometry } from '../geometry.ts'
import { listLogicalPartitions } from '../partition-table/logical.ts'
import {
  addPartition,
  fixBackupGpt,
  listPartitions,
  type Partition,
} from '../partition-table/partitioner.ts'
import {
  type ByteParts,
  type ConfigDriveImage,
  loadWhole,
  MAX_CONFIG_DRIVE_BYTES,
} from './decode.ts'
import { needsRebuild, rebuildAsVfat } from './vfat.ts'

const LABEL = 'config-2'
/** Written and compared at once, bytes. */
const STEP_BYTES = MiB

export interface WriteConfigDriveRequest {
  /** Open for writing, with the image on it. */
  readonly device: DiskBytes
  readonly image: ConfigDriveImage
  readonly exec: Exec
  /** Option config_drive_rebuild: always as vfat. */
  readonly rebuild?: boolean
  readonly log?: Pick<Logger, 'info'>
}

export interface WrittenConfigDrive {
  readonly partition: Partition
  /** False: the image brought a partition labelled config-2, which was overwritten. */
  readonly isNewPartition: boolean
  readonly isRebuilt: boolean
}

/**
 * Puts the config drive into the partition labelled config-2, or a new one of 64 MiB, and reads it back.
 * On disks whose sectors are too large for its file system it is rebuilt as vfat `CONFIG-2`.
 * Throws DeploymentError (two such partitions, no room, not to be rebuilt), ImageWriteError,
 * ReadBackMismatchError.
 */
export async function writeConfigDrive(
  request: WriteConfigDriveRequest,
): Promise<WrittenConfigDrive> {
  const { device, exec, image } = request
  await fixBackupGpt(device)
  const existing = await findConfigPartition(device, exec)
  const partition =
    existing ?? (await addPartition(device, { sizeBytes: MAX_CONFIG_DRIVE_BYTES, name: LABEL }))
  const isRebuilt = isToBeRebuilt(image, device.geometry, request.rebuild === true)
  const bytesWritten = await writeContent(request, partition, isRebuilt)
  const written = { partition, isNewPartition: existing === undefined, isRebuilt }
  request.log?.info(
    {
      device: device.geometry.path,
      partition: partition.number,
      offset: partition.range.offset,
      bytes: bytesWritten,
      is_new_partition: written.isNewPartition,
      is_rebuilt: isRebuilt,
    },
    'config drive written',
  )
  return written
}

/**
 * Puts the config drive into a partition that was made for it, and reads it back. Throws DeploymentError (not to be
 * rebuilt, too large), ImageWriteError, ReadBackMismatchError.
 */
export async function writeConfigDriveContent(
  request: Omit<WriteConfigDriveRequest, 'log'>,
  partition: ConfigDrivePlace,
): Promise<void> {
  const { image, device } = request
  const isRebuilt = isToBeRebuilt(image, device.geometry, request.rebuild === true)
  await writeContent(request, partition, isRebuilt)
}

/**
 * Bytes that a partition for this config drive needs: whole MiB (contract 5.3.8).
 * @param rebuild option config_drive_rebuild
 */
export function configDrivePartitionBytes(
  image: ConfigDriveImage,
  disk: Pick<DeviceGeometry, 'logicalSectorBytes'>,
  rebuild: boolean,
): number {
  if (isToBeRebuilt(image, disk, rebuild)) return MAX_CONFIG_DRIVE_BYTES
  return roundUp(image.sizeBytes, MiB)
}

function isToBeRebuilt(
  { head }: ConfigDriveImage,
  { logicalSectorBytes }: Pick<DeviceGeometry, 'logicalSectorBytes'>,
  rebuild: boolean,
): boolean {
  return rebuild || needsRebuild(head, logicalSectorBytes)
}

type ConfigDrivePlace = Pick<Partition, 'number' | 'range'>

/** Returns the bytes written. */
async function writeContent(
  { device, image, exec }: WriteConfigDriveRequest,
  partition: ConfigDrivePlace,
  isRebuilt: boolean,
): Promise<number> {
  if (!isRebuilt) {
    await writeAndCompare(device, partition, image)
    return image.sizeBytes
  }
  await using vfat = await rebuildAsVfat({
    image: await loadWhole(image),
    exec,
    sizeBytes: Math.min(partition.range.length, MAX_CONFIG_DRIVE_BYTES),
    sectorBytes: device.geometry.logicalSectorBytes,
  })
  await writeAndCompare(device, partition, vfat)
  return vfat.sizeBytes
}

async function findConfigPartition(device: DiskBytes, exec: Exec): Promise<Partition | undefined> {
  const found: Partition[] = []
  const { partitions } = await listPartitions(device)
  for (const partition of [...partitions, ...(await listLogicalPartitions(device))]) {
    if (endOf(partition.range) > device.geometry.sizeBytes) continue
    const { label } = await probeFileSystem(exec, device, partition.range)
    if (label?.toLowerCase() === LABEL) found.push(partition)
  }
  if (found.length <= 1) return found[0]
  throw new AgentError(
    'DeploymentError',
    `the image has ${found.length} partitions labelled ${LABEL} ` +
      `(${found.map(({ number }) => number).join(', ')}); one at most can take the config drive`,
  )
}

async function writeAndCompare(
  device: DiskBytes,
  partition: ConfigDrivePlace,
  content: ByteParts,
): Promise<void> {
  const { offset, length } = partition.range
  const { path } = device.geometry
  const { sizeBytes } = content
  if (sizeBytes > length) {
    throw new AgentError(
      'DeploymentError',
      `the config drive has ${sizeBytes} bytes, partition ${partition.number} of ${path} only ${length}`,
    )
  }
  for await (const step of inSteps(content)) await device.write(offset + step.offset, step.bytes)
  await device.sync()
  const actual = allocateAligned(STEP_BYTES)
  for await (const step of inSteps(content)) {
    const seen = actual.subarray(0, step.bytes.length)
    await device.read(offset + step.offset, seen)
    if (Buffer.compare(seen, step.bytes) === 0) continue
    throw new AgentError(
      'ReadBackMismatchError',
      `the config drive differs from what was written near offset ${offset + step.offset} of ${path}`,
    )
  }
}

/** The content in whole steps, each in the same aligned buffer. */
async function* inSteps(
  content: ByteParts,
): AsyncGenerator<{ readonly offset: number; readonly bytes: Uint8Array }> {
  const buffer = allocateAligned(STEP_BYTES)
  let offset = 0
  let filled = 0
  for await (const part of content.parts()) {
    for (let at = 0; at < part.length; ) {
      const taken = part.subarray(at, at + STEP_BYTES - filled)
      buffer.set(taken, filled)
      at += taken.length
      filled += taken.length
      if (filled < STEP_BYTES) continue
      yield { offset, bytes: buffer }
      offset += filled
      filled = 0
    }
  }
  if (filled > 0) yield { offset, bytes: buffer.subarray(0, filled) }
}
