// SPDX-License-Identifier: Apache-2.0
// Owns finding what on a disk a "root uuid" names (contract 5.2 step 7, 5.5): the disk, one of its partitions, or
// nothing. Does not judge what that means for a boot loader.
import type { Exec } from '../system/exec.ts'
import type { Root } from '../system/root.ts'
import { openBlockDevice } from './block-device.ts'
import { type ProbedFileSystem, probeFileSystem } from './file-system-probe.ts'
import { diskIdentifier, partUuidOfMbr } from './partition-table/mbr.ts'
import { listPartitions, readSector } from './partition-table/partitioner.ts'

export interface RootUuidRequest {
  readonly exec: Exec
  readonly root: Root
  readonly devicePath: string
  /** `0x1a2b3c4d`, or what {@link isCalled} takes. */
  readonly rootUuid: string
}

/** Throws DeviceNotFound, BlockDeviceError. */
export async function findRootUuid(
  request: RootUuidRequest,
): Promise<'disk' | 'partition' | undefined> {
  const { exec, root, devicePath, rootUuid } = request
  await using device = await openBlockDevice(devicePath, { mode: 'read', root })
  const first = await readSector(device, 0)
  if (rootUuid.toLowerCase() === diskIdentifier(first)) return 'disk'
  for (const { number, range, uniqueGuid } of (await listPartitions(device)).partitions) {
    const partUuid = uniqueGuid ?? partUuidOfMbr(first, number)
    const fileSystem = await probeFileSystem(exec, device, range)
    if (isCalled({ partUuid, fileSystem }, rootUuid)) return 'partition'
  }
  return undefined
}

/** The names of a partition. */
export interface NamedPartition {
  /** As the kernel says it: of an MBR's partition `1a2b3c4d-01`. */
  readonly partUuid: string
  readonly fileSystem: Pick<ProbedFileSystem, 'uuid' | 'label'>
}

/**
 * True where `wanted` is the partition's PARTUUID, or the UUID or label of its file system: plain, as
 * ironic-python-agent compares them with lsblk's, or as fstab writes them, `LABEL=…`. Case counts in a label alone.
 */
export function isCalled({ partUuid, fileSystem }: NamedPartition, wanted: string): boolean {
  const [, tag, value = wanted] = /^(PARTUUID|UUID|LABEL)=(.+)$/.exec(wanted) ?? []
  const isSame = (name: string | undefined) => name?.toLowerCase() === value.toLowerCase()
  return (
    ((tag ?? 'PARTUUID') === 'PARTUUID' && isSame(partUuid)) ||
    ((tag ?? 'UUID') === 'UUID' && isSame(fileSystem.uuid)) ||
    ((tag ?? 'LABEL') === 'LABEL' && fileSystem.label === value)
  )
}
