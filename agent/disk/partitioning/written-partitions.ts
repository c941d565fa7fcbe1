// SPDX-License-Identifier: Apache-2.0
// Owns what is told of the partitions of a partition image once they are there: their nodes, and the UUIDs by which
// boot loaders and Ironic name them (contract 5.2). Reads by offset; no partition node needs to exist.
import type { BootMode, DiskLabel } from '../../core/boot-mode.ts'
import type { DiskRange } from '../../core/extent.ts'
import { isObject } from '../../core/json.ts'
import type { Exec } from '../../system/exec.ts'
import type { DiskBytes } from '../block-device.ts'
import { probeFileSystem } from '../file-system-probe.ts'
import { type DiskLayout, PARTITION_KINDS, type PartitionKind } from './disk-layout.ts'
import type { PartUuids } from './new-table.ts'

export interface WrittenPartition {
  readonly kind: PartitionKind
  /** 1-based. */
  readonly number: number
  /** As the kernel names it once it has read the table: /dev/sda3, /dev/nvme0n1p3. */
  readonly path: string
  readonly range: DiskRange
  /** Of its file system, as blkid writes it; null where blkid knows none. */
  readonly uuid: string | null
  /** Lower case. */
  readonly partUuid: string
}

export interface WrittenPartitions {
  readonly label: DiskLabel
  readonly bootMode: BootMode
  /** By number. */
  readonly list: readonly WrittenPartition[]
}

/** True for what was JSON of {@link WrittenPartitions}. */
export function isWrittenPartitions(value: unknown): value is WrittenPartitions {
  return (
    isObject(value) &&
    (value['label'] === 'gpt' || value['label'] === 'msdos') &&
    (value['bootMode'] === 'uefi' || value['bootMode'] === 'bios') &&
    Array.isArray(value['list']) &&
    value['list'].every(isWrittenPartition)
  )
}

function isWrittenPartition(value: unknown): value is WrittenPartition {
  return (
    isObject(value) &&
    typeof value['kind'] === 'string' &&
    Object.hasOwn(PARTITION_KINDS, value['kind']) &&
    typeof value['number'] === 'number' &&
    typeof value['path'] === 'string' &&
    isObject(value['range']) &&
    typeof value['range']['offset'] === 'number' &&
    typeof value['range']['length'] === 'number' &&
    (value['uuid'] === null || typeof value['uuid'] === 'string') &&
    typeof value['partUuid'] === 'string'
  )
}

/** Asks blkid. Throws BlockDeviceError. */
export async function readWrittenPartitions(
  device: DiskBytes,
  { label, bootMode, partitions }: DiskLayout,
  partUuids: PartUuids,
  exec: Exec,
): Promise<WrittenPartitions> {
  const list: WrittenPartition[] = []
  for (const { kind, number, range } of partitions) {
    const { uuid } = await probeFileSystem(exec, device, range)
    const path = partitionPath(device.geometry.path, number)
    const partUuid = partUuids.get(number) as string
    list.push({ kind, number, path, range, uuid: uuid ?? null, partUuid })
  }
  return { label, bootMode, list }
}

/** The name of a partition's node (block/partitions/core.c): a `p` behind a digit. */
export function partitionPath(diskPath: string, number: number): string {
  return `${diskPath}${/\d$/.test(diskPath) ? 'p' : ''}${number}`
}

/** UUID of the file system, else of the partition (contract 5.3.10); null where there is no such partition. */
export function uuidOf(partitions: WrittenPartitions, kind: PartitionKind): string | null {
  const found = partitions.list.find((partition) => partition.kind === kind)
  return found === undefined ? null : (found.uuid ?? found.partUuid)
}
