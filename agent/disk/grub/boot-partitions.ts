// SPDX-License-Identifier: Apache-2.0
// Owns which partitions of a written disk a boot loader is about: root, ESP, PReP, and whether the disk has boot code.
// Looks at the disk by offset. Does not know nodes of the kernel; kernel-nodes.ts does.
import { AgentError } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import { openBlockDevice } from '../block-device.ts'
import { type ProbedFileSystem, probeFileSystem } from '../file-system-probe.ts'
import { parseMbr, partUuidOfMbr } from '../partition-table/mbr.ts'
import { listPartitions, type Partition, readSector } from '../partition-table/partitioner.ts'
import { isCalled } from '../root-uuid.ts'
import { hasCode } from './boot-code.ts'

/** A partition with all the names it can be called by. */
export interface BootPartition extends Partition {
  /** As the kernel says it: of an MBR's partition `1a2b3c4d-01`. */
  readonly partUuid: string
  readonly fileSystem: ProbedFileSystem
}

export interface BootPartitions {
  readonly all: readonly BootPartition[]
  readonly root: BootPartition
  readonly esp: BootPartition | undefined
  readonly prep: BootPartition | undefined
  /** The MBR holds code, and one of its partitions is marked to be started. */
  readonly hasBootCode: boolean
}

export interface BootPartitionNames {
  readonly devicePath: string
  /** What isCalled takes. */
  readonly rootUuid: string
  readonly efiSystemPartUuid: string | null
  readonly prepBootPartUuid: string | null
}

/** All of a disk, by number. Throws DeviceNotFound, BlockDeviceError. */
export async function listBootPartitions(
  devicePath: string,
  { exec, root }: { readonly exec: Exec; readonly root: Root },
): Promise<BootPartition[]> {
  await using device = await openBlockDevice(devicePath, { mode: 'read', root })
  const first = await readSector(device, 0)
  const all: BootPartition[] = []
  for (const partition of (await listPartitions(device)).partitions) {
    all.push({
      ...partition,
      partUuid: partition.uniqueGuid ?? partUuidOfMbr(first, partition.number),
      fileSystem: await probeFileSystem(exec, device, partition.range),
    })
  }
  return all
}

/** Throws DeviceNotFound for a name of no partition of this disk, BlockDeviceError. */
export async function findBootPartitions(
  names: BootPartitionNames,
  deps: { readonly exec: Exec; readonly root: Root },
): Promise<BootPartitions> {
  const all = await listBootPartitions(names.devicePath, deps)
  await using device = await openBlockDevice(names.devicePath, { mode: 'read', root: deps.root })
  const first = await readSector(device, 0)
  const find = (wanted: string, what: string) => {
    const found = all.find((partition) => isCalled(partition, wanted))
    if (found !== undefined) return found
    throw new AgentError(
      'DeviceNotFound',
      `none of the ${all.length} partitions of ${names.devicePath} has the UUID ${wanted}, that of ${what}`,
    )
  }
  const { efiSystemPartUuid: esp, prepBootPartUuid: prep } = names
  return {
    all,
    root: find(names.rootUuid, 'the root file system'),
    esp:
      all.find(({ isEsp }) => isEsp) ?? (esp ? find(esp, 'the EFI system partition') : undefined),
    prep: prep ? find(prep, 'the PReP boot partition') : undefined,
    hasBootCode: (await hasCode(device)) && isStarted(first),
  }
}

function isStarted(sector: Uint8Array): boolean {
  return parseMbr(sector)?.partitions.some(({ isActive }) => isActive) ?? false
}
