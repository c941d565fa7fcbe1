// SPDX-License-Identifier: Apache-2.0
// Owns writing the table of a layout, GPT or MBR, as bytes of our own: it goes to a device that holds it back in RAM,
// which no other program sees. Does not decide what is in it; disk-layout.ts does.
import { randomBytes, randomUUID } from 'node:crypto'
import { endOf } from '../../core/extent.ts'
import type { DiskBytes } from '../block-device.ts'
import { addGptPartition, emptyGpt, encodeGpt } from '../partition-table/gpt.ts'
import { addMbrPartition, emptyMbr, partUuidOfMbr, protectiveMbr } from '../partition-table/mbr.ts'
import type { DiskLayout, PlannedPartition } from './disk-layout.ts'

/** What the kernel calls PARTUUID, by partition number. */
export type PartUuids = ReadonlyMap<number, string>

/** Writes the table with new identifiers; does not flush. Throws what writing throws. */
export async function writeNewTable(device: DiskBytes, layout: DiskLayout): Promise<PartUuids> {
  return layout.label === 'gpt' ? await writeGpt(device, layout) : await writeMbr(device, layout)
}

async function writeGpt(device: DiskBytes, { partitions }: DiskLayout): Promise<PartUuids> {
  const { logicalSectorBytes: sectorBytes, sizeBytes } = device.geometry
  const totalSectors = Math.floor(sizeBytes / sectorBytes)
  const partUuids = new Map(partitions.map(({ number }) => [number, randomUUID() as string]))
  let gpt = emptyGpt({ sectorBytes, totalSectors, diskGuid: randomUUID() })
  for (const partition of partitions) {
    gpt = addGptPartition(gpt, {
      typeGuid: partition.gptType,
      uniqueGuid: partUuids.get(partition.number) as string,
      ...sectorsOf(partition, sectorBytes),
      attributes: 0n,
      name: partition.name,
    })
  }
  const { backup, primary } = encodeGpt(gpt)
  const first = { offset: 0, bytes: protectiveMbr(sectorBytes, totalSectors) }
  for (const { offset, bytes } of [...backup, ...primary, first]) await device.write(offset, bytes)
  return partUuids
}

async function writeMbr(device: DiskBytes, { partitions }: DiskLayout): Promise<PartUuids> {
  const { logicalSectorBytes: sectorBytes } = device.geometry
  let sector = emptyMbr(sectorBytes, randomIdentifier())
  for (const partition of partitions) {
    const { firstLba, lastLba } = sectorsOf(partition, sectorBytes)
    const added = { isActive: partition.isActive, type: partition.mbrType, firstLba }
    sector = addMbrPartition(sector, { ...added, sectorCount: lastLba - firstLba + 1 }).sector
  }
  await device.write(0, sector)
  return new Map(partitions.map(({ number }) => [number, partUuidOfMbr(sector, number)]))
}

function sectorsOf({ range }: PlannedPartition, sectorBytes: number) {
  return { firstLba: range.offset / sectorBytes, lastLba: endOf(range) / sectorBytes - 1 }
}

/** Zero would mean that the disk has none. */
function randomIdentifier(): number {
  return randomBytes(4).readUInt32LE() || 1
}
