// SPDX-License-Identifier: Apache-2.0
// Owns the last steps of a deploy, from a verified image to a disk that boots: table, config drive, commit. In
// this order: whatever point the power fails at, a disk that boots has its config drive
// (docs/design/140-tables-and-commit.md). Does not open the disk.
import { throwIfAborted } from '../../core/deadline.ts'
import type { DiskRange } from '../../core/extent.ts'
import type { DiskBytes } from '../../disk/block-device.ts'
import { writeConfigDrive } from '../../disk/configdrive/configdrive.ts'
import type { ConfigDriveImage } from '../../disk/configdrive/decode.ts'
import type { HeldBack } from '../../disk/hold-back.ts'
import { diskIdentifier } from '../../disk/partition-table/mbr.ts'
import { bootRanges, fixBackupGpt, readSector } from '../../disk/partition-table/partitioner.ts'
import { assertPartitioned } from '../../disk/partition-table/written-table.ts'
import type { DiskLayout } from '../../disk/partitioning/disk-layout.ts'
import { divideDisk } from '../../disk/partitioning/divide-disk.ts'
import type { KeptTable } from '../../disk/partitioning/kept-table.ts'
import { uuidOf, type WrittenPartitions } from '../../disk/partitioning/written-partitions.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { createStagedDevice } from './staged-device.ts'

export interface MakeBootableRequest {
  /** Holds the verified image but for what is held back; cannot boot. */
  readonly device: DiskBytes
  readonly held: HeldBack
  /** Told of image bytes that the disk loses: to the config drive. */
  readonly onOverwrite: (range: DiskRange) => void
  /** The part of the disk that the image takes. */
  readonly imageArea: DiskRange
  /** Into what the disk is to be divided; null: the image brings its table. */
  readonly layout: DiskLayout | null
  /** Of a layout: the table that stays; null for a new one. */
  readonly table: KeptTable | null
  readonly configdrive: ConfigDriveImage | null
  /** Option config_drive_rebuild. */
  readonly rebuild: boolean
  readonly onStage: (stage: 'partition' | 'configdrive' | 'commit', bytes: number) => void
  readonly exec: Exec
  readonly log: Pick<Logger, 'info'>
  readonly signal: AbortSignal
}

/** What Ironic is told of the disk. */
export interface BootableDisk {
  /** `0x…`, the disk identifier of a whole-disk image (contract 5.2 step 7); the root file system's of a partition image. */
  readonly rootUuid: string | null
  /** Null for a whole-disk image. */
  readonly partitions: WrittenPartitions | null
}

/**
 * Throws DeploymentError (no table that this disk can have, no room for the config drive, no file system to be made),
 * ImageWriteError, ReadBackMismatchError, BlockDeviceError.
 */
export async function makeBootable(request: MakeBootableRequest): Promise<BootableDisk> {
  const { device, held, layout } = request
  const staged = createStagedDevice(device, held, request.onOverwrite)
  const partitions = layout ? await divide(staged, layout, request) : null
  if (!layout) await fitWholeDisk(staged, request)
  throwIfAborted(request.signal)
  request.onStage('commit', 0)
  await staged.commit()
  if (partitions) return { rootUuid: uuidOf(partitions, 'root'), partitions }
  return { rootUuid: diskIdentifier(await readSector(staged, 0)), partitions: null }
}

async function fitWholeDisk(
  staged: DiskBytes,
  { configdrive, rebuild, exec, log, imageArea, onStage }: MakeBootableRequest,
): Promise<void> {
  await assertPartitioned(staged, { exec, imageBytes: imageArea.length })
  await fixBackupGpt(staged)
  if (!configdrive) return
  onStage('configdrive', configdrive.sizeBytes)
  await writeConfigDrive({ device: staged, image: configdrive, exec, rebuild, log })
}

/** What a table that stays is made of, and what lies around it; where image bytes are held back, those. */
async function keepBootRanges(
  staged: DiskBytes,
  { device, held }: MakeBootableRequest,
): Promise<void> {
  for (const { offset, length } of bootRanges(device.geometry)) {
    const bytes = new Uint8Array(length)
    await device.read(offset, bytes)
    held.overlay(offset, bytes)
    await staged.write(offset, bytes)
  }
}

async function divide(
  staged: DiskBytes,
  layout: DiskLayout,
  request: MakeBootableRequest,
): Promise<WrittenPartitions> {
  request.onStage('partition', 0)
  if (request.table) await keepBootRanges(staged, request)
  const partitions = await divideDisk({ ...request, layout, device: staged })
  request.log.info({ device: staged.geometry.path, partitions }, 'disk partitioned')
  return partitions
}
