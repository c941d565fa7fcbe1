// SPDX-License-Identifier: Apache-2.0
// Owns making a GUID partition table for an image that is being built, the same bytes each time.
// Does not read or change existing tables: that is agent/disk/partition-table, which is tested against
// images made here and therefore is not used to make them.
import { crc32 } from 'node:zlib'

export const SECTOR_BYTES = 512
/** The header's sector and 128 entries of 128 bytes. */
const TABLE_SECTORS = 33
const ENTRY_BYTES = 128
const ENTRY_COUNT = 128

export const PARTITION_TYPES = {
  esp: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  linux: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
} as const

export interface NewPartition {
  readonly name: string
  readonly type: string
  readonly guid: string
  /** First sector, and number of sectors. */
  readonly firstSector: number
  readonly sectors: number
  /** UEFI 2.10 table 5.5: bit 2 lets a BIOS loader boot this partition. */
  readonly isLegacyBootable?: boolean
}

export interface NewTable {
  readonly diskGuid: string
  readonly diskSectors: number
  readonly partitions: readonly NewPartition[]
}

/** The bytes of both tables: `head` belongs at offset 0, `tail` at the end of the disk. */
export function makeGpt(table: NewTable): { head: Buffer; tail: Buffer } {
  const entries = Buffer.alloc(ENTRY_BYTES * ENTRY_COUNT)
  for (const [i, partition] of table.partitions.entries()) {
    entry(partition).copy(entries, i * ENTRY_BYTES)
  }
  const last = table.diskSectors - 1
  const primary = header(table, { at: 1, other: last, entriesAt: 2 }, entries)
  const backup = header(table, { at: last, other: 1, entriesAt: last - 32 }, entries)
  return {
    head: Buffer.concat([protectiveMbr(table.diskSectors), primary, entries]),
    tail: Buffer.concat([entries, backup]),
  }
}

/** UEFI 2.10 5.2.3: one entry of type 0xEE over the whole disk. The boot code is left empty. */
function protectiveMbr(diskSectors: number): Buffer {
  const mbr = Buffer.alloc(SECTOR_BYTES)
  const at = 446
  mbr.writeUIntBE(0x000200, at + 1, 3)
  mbr[at + 4] = 0xee
  mbr.writeUIntBE(0xffffff, at + 5, 3)
  mbr.writeUInt32LE(1, at + 8)
  mbr.writeUInt32LE(Math.min(diskSectors - 1, 0xffffffff), at + 12)
  mbr.writeUInt16LE(0xaa55, 510)
  return mbr
}

function entry(partition: NewPartition): Buffer {
  const bytes = Buffer.alloc(ENTRY_BYTES)
  guid(partition.type).copy(bytes, 0)
  guid(partition.guid).copy(bytes, 16)
  bytes.writeBigUInt64LE(BigInt(partition.firstSector), 32)
  bytes.writeBigUInt64LE(BigInt(partition.firstSector + partition.sectors - 1), 40)
  bytes.writeBigUInt64LE(partition.isLegacyBootable ? 4n : 0n, 48)
  bytes.write(partition.name, 56, 72, 'utf16le')
  return bytes
}

/** UEFI 2.10 table 5.3. */
function header(
  table: NewTable,
  { at, other, entriesAt }: { at: number; other: number; entriesAt: number },
  entries: Buffer,
): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES)
  bytes.write('EFI PART', 0, 'latin1')
  bytes.writeUInt32LE(0x00010000, 8)
  bytes.writeUInt32LE(92, 12)
  bytes.writeBigUInt64LE(BigInt(at), 24)
  bytes.writeBigUInt64LE(BigInt(other), 32)
  bytes.writeBigUInt64LE(BigInt(1 + TABLE_SECTORS), 40)
  bytes.writeBigUInt64LE(BigInt(table.diskSectors - TABLE_SECTORS - 1), 48)
  guid(table.diskGuid).copy(bytes, 56)
  bytes.writeBigUInt64LE(BigInt(entriesAt), 72)
  bytes.writeUInt32LE(ENTRY_COUNT, 80)
  bytes.writeUInt32LE(ENTRY_BYTES, 84)
  bytes.writeUInt32LE(crc32(entries), 88)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 92)), 16)
  return bytes
}

/** UEFI 2.10 appendix A: the first three fields of a GUID are little-endian. */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex')
  if (bytes.length !== 16) throw new RangeError(`${text} is not a GUID`)
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}
