// SPDX-License-Identifier: Apache-2.0
// Owns finding what on a disk a "root uuid" names (contract 5.2 step 7, 5.5): the disk, one of its partitions, or
// nothing. Does not judge what that means for a boot loader.
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import { openBlockDevice } from './block-device.ts'
import { probeFileSystem } from './file-system-probe.ts'
import { diskIdentifier, partUuidOfMbr } from './partition-table/mbr.ts'
import { listPartitions, readSector } from './partition-table/partitioner.ts'

export interface RootUuidRequest {
  readonly exec: Exec
  readonly root: Root
  readonly devicePath: string
  /** Any case: `0x1a2b3c4d`, a GUID or PARTUUID of a partition, a UUID of a file system. */
  readonly rootUuid: string
}

/** Throws DeviceNotFound, BlockDeviceError. */
export async function findRootUuid(
  request: RootUuidRequest,
): Promise<'disk' | 'partition' | undefined> {
  const { exec, root, devicePath } = request
  const wanted = request.rootUuid.toLowerCase()
  await using device = await openBlockDevice(devicePath, { mode: 'read', root })
  const first = await readSector(device, 0)
  const identifier = diskIdentifier(first)
  if (wanted === identifier) return 'disk'
  for (const { number, range, uniqueGuid } of (await listPartitions(device)).partitions) {
    if (wanted === (uniqueGuid ?? partUuidOfMbr(first, number))) return 'partition'
    const { uuid } = await probeFileSystem(exec, device, range)
    if (wanted === uuid?.toLowerCase()) return 'partition'
  }
  return undefined
}
