// SPDX-License-Identifier: Apache-2.0
// Owns small disks with a GPT or an MBR, and where they hurt; checksums of a damaged GPT are made right again for half
// of them, as an attacker does. Does not damage them.
import { crc32 } from 'node:zlib'
import { AgentError } from '../../../agent/core/errors.ts'
import type { DiskBytes } from '../../../agent/disk/block-device.ts'
import {
  addGptPartition,
  ESP_TYPE,
  emptyGpt,
  encodeGpt,
  LINUX_FS_TYPE,
} from '../../../agent/disk/partition-table/gpt.ts'
import { listLogicalPartitions } from '../../../agent/disk/partition-table/logical.ts'
import { protectiveMbr } from '../../../agent/disk/partition-table/mbr.ts'
import { listPartitions, listRemains } from '../../../agent/disk/partition-table/partitioner.ts'
import type { SmallImage } from './formats.ts'
import type { Field } from './mutate.ts'

const SECTOR_BYTES = 512
const SECTORS = 256
const GUID = '6f1c3e2a-0b4d-4e5f-8a9b-0c1d2e3f4a5b'
/** More than tables and every link of a chain take: beyond it, something is read over and over. */
const MOST_BYTES_READ = 8 * 1024 * 1024

/**
 * All that is listed of a disk. Throws BlockDeviceError where that is nothing, a plain Error for partitions that no
 * disk has and for too much reading.
 */
export async function readTables(file: Uint8Array): Promise<void> {
  const disk = sealed(file)
  const device = inMemory(disk)
  const partitions = [
    ...(await listRemains(device)),
    ...(await listLogicalPartitions(device)),
    // last: it throws for a table that does not hold together
    ...(await listPartitions(device)).partitions,
  ]
  if (partitions.length === 0) throw new AgentError('BlockDeviceError', 'no partition is listed')
  for (const { number, range, type } of partitions) {
    if (number < 1 || range.offset < 0 || range.length < 0 || type === '') {
      throw new Error(`partition ${number} at ${range.offset} with ${range.length} bytes was taken`)
    }
  }
}

function inMemory(disk: Uint8Array): DiskBytes {
  const sizeBytes = disk.length - (disk.length % SECTOR_BYTES)
  let readBytes = 0
  const sector = { logicalSectorBytes: SECTOR_BYTES, physicalSectorBytes: SECTOR_BYTES }
  return {
    geometry: { path: 'memory', isBlockDevice: false, sizeBytes, ...sector },
    read: async (offset, target) => {
      readBytes += target.length
      if (readBytes > MOST_BYTES_READ) throw new Error(`${readBytes} bytes of tables were read`)
      // as block-device.ts does
      if (offset < 0 || !Number.isSafeInteger(offset) || offset + target.length > sizeBytes) {
        throw new AgentError('BlockDeviceError', `read at ${offset} lies outside`)
      }
      target.set(disk.subarray(offset, offset + target.length))
    },
    write: async () => {
      throw new Error('who lists tables writes none')
    },
    sync: async () => undefined,
  }
}

/** Makes the checksums of the primary GPT right for every other file. */
function sealed(file: Uint8Array): Uint8Array {
  if (file.length < 2 * SECTOR_BYTES || crc32(file) % 2 === 0) return file
  const disk = Buffer.from(file)
  const header = disk.subarray(SECTOR_BYTES, 2 * SECTOR_BYTES)
  const [count, size] = [header.readUInt32LE(80), header.readUInt32LE(84)]
  const at = header.readBigUInt64LE(72) * BigInt(SECTOR_BYTES)
  const end = at + BigInt(count) * BigInt(size)
  if (end <= BigInt(disk.length)) {
    header.writeUInt32LE(crc32(disk.subarray(Number(at), Number(end))), 88)
  }
  header.writeUInt32LE(0, 16)
  const headerBytes = Math.min(header.readUInt32LE(12), SECTOR_BYTES)
  header.writeUInt32LE(crc32(header.subarray(0, headerBytes)), 16)
  return disk
}

/** UEFI 2.10 §5.3. */
export function smallGpts(): readonly SmallImage[] {
  const disk = new Uint8Array(SECTORS * SECTOR_BYTES)
  disk.set(protectiveMbr(SECTOR_BYTES, SECTORS))
  let gpt = emptyGpt({ sectorBytes: SECTOR_BYTES, totalSectors: SECTORS, diskGuid: GUID })
  for (const [at, typeGuid] of [ESP_TYPE, LINUX_FS_TYPE, LINUX_FS_TYPE].entries()) {
    const firstLba = 40 + 32 * at
    const place = { firstLba, lastLba: firstLba + 31 }
    const rest = { typeGuid, uniqueGuid: GUID, attributes: 0n, name: `part ${at}` }
    gpt = addGptPartition(gpt, { ...place, ...rest })
  }
  const { primary, backup } = encodeGpt(gpt)
  for (const { offset, bytes } of [...primary, ...backup]) disk.set(bytes, offset)
  const entries = [0, 1, 2, 3].flatMap((entry) =>
    [0, 16, 32, 40, 48, 56].map((at) => little(2 * SECTOR_BYTES + 128 * entry + at, 8)),
  )
  const fields = [...headerFields(SECTOR_BYTES), ...entries, ...mbrFields(0)]
  const hybrid = disk.slice()
  putEntry(hybrid, 0, 1, { type: 0x83, first: 40, count: 32 })
  return [
    { name: 'with protective MBR', file: disk, fields },
    { name: 'hybrid', file: hybrid, fields },
  ]
}

function headerFields(at: number): Field[] {
  const words = [8, 12, 16, 80, 84, 88].map((offset) => little(at + offset, 4))
  const addresses = [24, 32, 40, 48, 72].map((offset) => little(at + offset, 8))
  return [...words, ...addresses]
}

/** UEFI 2.10 §5.2, and the chain of logical partitions. */
export function smallMbrs(): readonly SmallImage[] {
  const primaries = new Uint8Array(SECTORS * SECTOR_BYTES)
  putEntry(primaries, 0, 0, { type: 0xef, first: 8, count: 32 })
  putEntry(primaries, 0, 1, { type: 0x83, first: 40, count: 64 })
  const logical = primaries.slice()
  putEntry(logical, 0, 2, { type: 0x05, first: 104, count: 150 })
  const links = [104, 144, 184]
  for (const [at, lba] of links.entries()) {
    putEntry(logical, lba, 0, { type: 0x83, first: 2, count: 32 })
    const next = links[at + 1]
    if (next !== undefined) putEntry(logical, lba, 1, { type: 0x05, first: next - 104, count: 40 })
  }
  return [
    { name: 'with primary partitions', file: primaries, fields: mbrFields(0) },
    { name: 'with logical ones', file: logical, fields: [0, ...links].flatMap(mbrFields) },
  ]
}

interface MbrEntry {
  readonly type: number
  readonly first: number
  readonly count: number
}

function putEntry(disk: Uint8Array, lba: number, index: number, entry: MbrEntry): void {
  const sector = Buffer.from(disk.buffer, lba * SECTOR_BYTES, SECTOR_BYTES)
  const at = 446 + 16 * index
  sector.writeUInt8(entry.type, at + 4)
  sector.writeUInt32LE(entry.first, at + 8)
  sector.writeUInt32LE(entry.count, at + 12)
  sector.writeUInt16LE(0xaa55, 510)
}

function mbrFields(lba: number): Field[] {
  const entries = [0, 1, 2, 3].flatMap((index) => {
    const at = lba * SECTOR_BYTES + 446 + 16 * index
    return [little(at, 1), little(at + 4, 1), little(at + 8, 4), little(at + 12, 4)]
  })
  return [...entries, little(lba * SECTOR_BYTES + 510, 2)]
}

function little(offset: number, bytes: Field['bytes']): Field {
  return { offset, bytes, order: 'little' }
}
