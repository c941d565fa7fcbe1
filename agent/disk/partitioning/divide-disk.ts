// SPDX-License-Identifier: Apache-2.0
// Owns the last steps before a disk with a partition image may boot: its table, empty file systems, config drive,
// UUIDs. Works on a staged disk, which keeps the table in RAM until it is committed (docs/design/240-partition-images.md).
import { type DiskRange, endOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { DiskBytes } from '../block-device.ts'
import { writeConfigDriveContent } from '../configdrive/configdrive.ts'
import type { ConfigDriveImage } from '../configdrive/decode.ts'
import type { DiskLayout } from './disk-layout.ts'
import { makeFileSystems } from './file-systems.ts'
import type { KeptTable } from './kept-table.ts'
import { writeNewTable } from './new-table.ts'
import { readWrittenPartitions, type WrittenPartitions } from './written-partitions.ts'

export interface DivideDiskRequest {
  /** Where partition tables lie it keeps what is written in RAM; the image is in its window already. */
  readonly device: DiskBytes
  readonly layout: DiskLayout
  /** The table that stays; null for a new one. */
  readonly table: KeptTable | null
  /** The part of the root partition that the image takes. */
  readonly imageArea: DiskRange
  readonly configdrive: ConfigDriveImage | null
  /** Option config_drive_rebuild. */
  readonly rebuild: boolean
  readonly exec: Exec
  readonly signal: AbortSignal
}

/** Throws DeploymentError, ImageWriteError, ReadBackMismatchError, BlockDeviceError. */
export async function divideDisk(request: DivideDiskRequest): Promise<WrittenPartitions> {
  const { device, layout, table, configdrive, exec, signal } = request
  if (table) await device.write(0, table.firstSector)
  const partUuids = table?.partUuids ?? (await writeNewTable(device, layout))
  await wipeRemains(request)
  await makeFileSystems(device.geometry, layout, { exec, signal })
  const target = layout.partitions.find(({ kind }) => kind === 'configdrive')
  if (configdrive && target) {
    await writeConfigDriveContent(
      { device, image: configdrive, exec, rebuild: request.rebuild },
      target,
    )
  }
  // also what other programs wrote through the page cache
  await device.sync()
  return await readWrittenPartitions(device, layout, partUuids, exec)
}

/**
 * Old boot code in partitions that hold nothing else; old superblocks where the root partition ends: RAID and ZFS look
 * for themselves there.
 */
async function wipeRemains({ device, layout, imageArea }: DivideDiskRequest): Promise<void> {
  for (const { kind, range } of layout.partitions) {
    if (kind === 'bios-boot' || kind === 'prep') await zero(device, range)
  }
  const end = endOf(layout.root.range)
  const from = Math.max(endOf(imageArea), end - MiB)
  await zero(device, { offset: from, length: end - from })
}

async function zero(device: DiskBytes, { offset, length }: DiskRange): Promise<void> {
  for (let at = 0; at < length; at += MiB) {
    await device.write(offset + at, new Uint8Array(Math.min(MiB, length - at)))
  }
}
