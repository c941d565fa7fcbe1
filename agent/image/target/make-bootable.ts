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
import { fixBackupGpt, readSector } from '../../disk/partition-table/partitioner.ts'
import { assertPartitioned } from '../../disk/partition-table/written-table.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { createStagedDevice } from './staged-device.ts'

export interface MakeBootableRequest {
  /** Holds the verified image but for what is held back; cannot boot. */
  readonly device: DiskBytes
  readonly held: HeldBack
  /** Told of image bytes that the disk loses: to the config drive. */
  readonly onOverwrite: (range: DiskRange) => void
  readonly imageBytes: number
  readonly configdrive: ConfigDriveImage | null
  /** Option config_drive_rebuild. */
  readonly rebuild: boolean
  readonly onStage: (stage: 'configdrive' | 'commit', bytes: number) => void
  readonly exec: Exec
  readonly log: Pick<Logger, 'info'>
  readonly signal: AbortSignal
}

/**
 * Resolves to the root UUID of contract 5.2 step 7. Throws DeploymentError (no table that this disk can have, no
 * room for the config drive), ImageWriteError, ReadBackMismatchError, BlockDeviceError.
 */
export async function makeBootable(request: MakeBootableRequest): Promise<string> {
  const { device, held, configdrive, rebuild, exec, log, imageBytes } = request
  const staged = createStagedDevice(device, held, request.onOverwrite)
  await assertPartitioned(staged, { exec, imageBytes })
  await fixBackupGpt(staged)
  if (configdrive) {
    request.onStage('configdrive', configdrive.sizeBytes)
    await writeConfigDrive({ device: staged, image: configdrive, exec, rebuild, log })
  }
  throwIfAborted(request.signal)
  request.onStage('commit', 0)
  await staged.commit()
  return diskIdentifier(await readSector(staged, 0))
}
