// SPDX-License-Identifier: Apache-2.0
// Owns which partition of a disk is the EFI system partition. Does not look into it.
import { AgentError } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import { openBlockDevice } from '../block-device.ts'
import { probeFileSystem } from '../file-system-probe.ts'
import { listPartitions, type Partition } from './partitioner.ts'

export interface EspQuestion {
  readonly exec: Exec
  readonly root: Root
  readonly devicePath: string
  /** GUID of the partition or UUID of its file system, where the table marks no ESP. */
  readonly efiSystemPartUuid?: string | null
}

/** Throws DeviceNotFound where there is none, BlockDeviceError. */
export async function findEsp(question: EspQuestion): Promise<Partition> {
  const { exec, root, devicePath } = question
  await using device = await openBlockDevice(devicePath, { mode: 'read', root })
  const { partitions } = await listPartitions(device)
  const marked = partitions.find(({ isEsp }) => isEsp)
  if (marked !== undefined) return marked
  const wanted = question.efiSystemPartUuid?.toLowerCase()
  for (const partition of wanted ? partitions : []) {
    const { uuid } = await probeFileSystem(exec, device, partition.range)
    if ([partition.uniqueGuid, uuid?.toLowerCase()].includes(wanted)) return partition
  }
  throw new AgentError(
    'DeviceNotFound',
    `no EFI system partition among the ${partitions.length} partitions of ${devicePath}. ` +
      'Are you using a UEFI-compatible image?',
  )
}
