// SPDX-License-Identifier: Apache-2.0
// Owns following the chain of logical partitions in an MBR's extended one, as Linux does (block/partitions/msdos.c). What
// the image says is not believed: the chain is short, goes forward, and stays in its container. Changes nothing.
import { type DiskRange, endOf } from '../../core/extent.ts'
import type { DiskBytes } from '../block-device.ts'
import { parseMbr } from './mbr.ts'
import { mbrType, type Partition, readSector } from './partitioner.ts'

const CONTAINER_TYPES: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85])
/** Linux numbers them from here on. */
const FIRST_NUMBER = 5
/** As many as Linux takes on a disk. */
const MOST_LINKS = 255

/** The logical partitions of the MBR in the first sector; none without an extended one. Throws BlockDeviceError. */
export async function listLogicalPartitions(device: DiskBytes): Promise<Partition[]> {
  const { logicalSectorBytes, sizeBytes } = device.geometry
  const primary = parseMbr(await readSector(device, 0))
  if (primary === undefined || primary.hasProtectiveEntry) return []
  const container = primary.partitions.find(({ type }) => CONTAINER_TYPES.has(type))
  if (container === undefined) return []
  const start = container.firstLba
  const end = Math.min(start + container.sectorCount, Math.floor(sizeBytes / logicalSectorBytes))
  const found: Partition[] = []
  let at = start
  for (let link = 0; link < MOST_LINKS && at < end; link++) {
    const record = parseMbr(await readSector(device, at))
    const entries = record?.partitions ?? []
    const data = entries.find(({ type, number }) => !CONTAINER_TYPES.has(type) && number <= 2)
    if (data) {
      const range: DiskRange = {
        offset: (at + data.firstLba) * logicalSectorBytes,
        length: data.sectorCount * logicalSectorBytes,
      }
      const type = mbrType(data.type)
      const number = FIRST_NUMBER + found.length
      // one that leaves its container would lie over others
      if (data.firstLba > 0 && endOf(range) <= end * logicalSectorBytes) {
        found.push({ number, range, type, isEsp: false, uniqueGuid: null, name: '' })
      }
    }
    const next = entries.find(({ type, number }) => CONTAINER_TYPES.has(type) && number <= 2)
    if (next === undefined || start + next.firstLba <= at) break
    at = start + next.firstLba
  }
  return found
}
