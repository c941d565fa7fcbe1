// SPDX-License-Identifier: Apache-2.0
// Owns the bytes of a GUID partition table (UEFI 2.10 §5.3): parse, check, change, encode. Pure: bytes in,
// bytes out; partitioner.ts moves them to and from the disk.
import { crc32 } from 'node:zlib'
import { AgentError } from '../../core/errors.ts'
import type { DiskRange } from '../../core/extent.ts'
import { formatGuid, parseGuid } from './guid.ts'

/** EFI System Partition (UEFI 2.10 table 5.7). */
export const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
/** Where GRUB lies on a GPT disk that BIOS starts; its own word for `Hah!IdontNeedEFI`. */
export const BIOS_BOOT_TYPE = '21686148-6449-6e6f-744e-656564454649'
/** Linux file system data, sgdisk's default type 8300. */
export const LINUX_FS_TYPE = '0fc63daf-8483-4772-8e79-3d69d8477de4'

const SIGNATURE = 'EFI PART'
const UNUSED_TYPE = '00000000-0000-0000-0000-000000000000'
const MIN_HEADER_BYTES = 92
const MIN_ENTRY_BYTES = 128
/** A table larger than this is an attack on memory, not a disk: 128 entries take 16 KiB. */
const MAX_ENTRIES_BYTES = 1024 * 1024
const NAME_BYTES = 72
/** Of a new table: 1.0, and as many entries as UEFI 2.10 §5.3.1 asks room for. */
const REVISION = 0x0001_0000
const ENTRY_COUNT = 128

/** Addresses are in logical sectors (LBA). */
export interface GptHeader {
  readonly revision: number
  readonly headerBytes: number
  readonly currentLba: number
  readonly alternateLba: number
  readonly firstUsableLba: number
  readonly lastUsableLba: number
  readonly diskGuid: string
  readonly entriesLba: number
  readonly entryCount: number
  readonly entryBytes: number
  readonly entriesCrc32: number
}

export interface GptPartition {
  /** 1-based, as in /dev/sda1. */
  readonly number: number
  readonly typeGuid: string
  readonly uniqueGuid: string
  readonly firstLba: number
  /** Inclusive. */
  readonly lastLba: number
  readonly attributes: bigint
  readonly name: string
}

export interface Gpt {
  readonly sectorBytes: number
  readonly header: GptHeader
  /** The raw entries: what we do not understand is kept. */
  readonly entries: Uint8Array
  readonly partitions: readonly GptPartition[]
}

/** True if the sector begins with the signature; it may still be broken. */
export function hasGptSignature(sector: Uint8Array): boolean {
  return Buffer.from(sector.subarray(0, 8)).toString('latin1') === SIGNATURE
}

/**
 * Parses and checks the header found at `lba`. Throws BlockDeviceError for a wrong signature, CRC, or
 * address, and for sizes no disk has.
 */
export function parseGptHeader(sector: Uint8Array, lba: number): GptHeader {
  if (sector.length < MIN_HEADER_BYTES || !hasGptSignature(sector))
    throw broken(lba, 'no signature')
  const view = Buffer.from(sector.buffer, sector.byteOffset, sector.length)
  const headerBytes = view.readUInt32LE(12)
  if (headerBytes < MIN_HEADER_BYTES || headerBytes > sector.length) {
    throw broken(lba, `header size ${headerBytes}`)
  }
  const stored = view.readUInt32LE(16)
  const computed = headerCrc32(view.subarray(0, headerBytes))
  if (stored !== computed) throw broken(lba, `header CRC32 is ${computed}, not ${stored}`)
  const address = (at: number) => {
    const value = view.readBigUInt64LE(at)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw broken(lba, `address ${value} at byte ${at}`)
    return Number(value)
  }
  const header: GptHeader = {
    revision: view.readUInt32LE(8),
    headerBytes,
    currentLba: address(24),
    alternateLba: address(32),
    firstUsableLba: address(40),
    lastUsableLba: address(48),
    diskGuid: formatGuid(view.subarray(56, 72)),
    entriesLba: address(72),
    entryCount: view.readUInt32LE(80),
    entryBytes: view.readUInt32LE(84),
    entriesCrc32: view.readUInt32LE(88),
  }
  checkHeader(header, lba)
  return header
}

function checkHeader(header: GptHeader, lba: number): void {
  const { entryBytes, entryCount } = header
  const isPowerOfTwo = (entryBytes & (entryBytes - 1)) === 0
  if (header.currentLba !== lba)
    throw broken(lba, `header says it lies at LBA ${header.currentLba}`)
  if (entryBytes < MIN_ENTRY_BYTES || !isPowerOfTwo) throw broken(lba, `entry size ${entryBytes}`)
  if (entryCount === 0 || entryCount * entryBytes > MAX_ENTRIES_BYTES) {
    throw broken(lba, `${entryCount} entries of ${entryBytes} bytes`)
  }
  if (header.firstUsableLba > header.lastUsableLba) {
    throw broken(lba, `usable LBAs ${header.firstUsableLba}–${header.lastUsableLba}`)
  }
}

/** Where the entries of this header lie on the disk, whole sectors. */
export function entriesRange(header: GptHeader, sectorBytes: number): DiskRange {
  return {
    offset: header.entriesLba * sectorBytes,
    length: entriesSectors(header, sectorBytes) * sectorBytes,
  }
}

/** Checks the entries against the header and reads the partitions. Throws BlockDeviceError. */
export function parseGptEntries(header: GptHeader, bytes: Uint8Array, sectorBytes: number): Gpt {
  const length = header.entryCount * header.entryBytes
  if (bytes.length < length)
    throw broken(header.currentLba, `entries end after ${bytes.length} bytes`)
  const entries = bytes.slice(0, length)
  const computed = crc32(entries)
  if (computed !== header.entriesCrc32) {
    throw broken(header.currentLba, `entries CRC32 is ${computed}, not ${header.entriesCrc32}`)
  }
  const partitions: GptPartition[] = []
  for (let i = 0; i < header.entryCount; i++) {
    const entry = entries.subarray(i * header.entryBytes, (i + 1) * header.entryBytes)
    const partition = parseEntry(entry, i + 1)
    if (partition !== undefined) partitions.push(partition)
  }
  return { sectorBytes, header, entries, partitions }
}

function parseEntry(entry: Uint8Array, number: number): GptPartition | undefined {
  const view = Buffer.from(entry.buffer, entry.byteOffset, entry.length)
  const typeGuid = formatGuid(view.subarray(0, 16))
  if (typeGuid === UNUSED_TYPE) return undefined
  const [first, last] = [view.readBigUInt64LE(32), view.readBigUInt64LE(40)]
  if (first > last || last > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw broken(1, `partition ${number} goes from LBA ${first} to ${last}`)
  }
  return {
    number,
    typeGuid,
    uniqueGuid: formatGuid(view.subarray(16, 32)),
    firstLba: Number(first),
    lastLba: Number(last),
    attributes: view.readBigUInt64LE(48),
    name: (view.toString('utf16le', 56, 56 + NAME_BYTES).split('\0')[0] ?? '').trim(),
  }
}

/** The table with one more partition in the first unused entry. Throws BlockDeviceError if all are used. */
export function addGptPartition(gpt: Gpt, added: Omit<GptPartition, 'number'>): Gpt {
  const used = new Set(gpt.partitions.map(({ number }) => number))
  let number = 1
  while (used.has(number)) number++
  const { header } = gpt
  if (number > header.entryCount) throw broken(1, `all ${header.entryCount} entries are used`)
  const entries = gpt.entries.slice()
  entries.set(encodeEntry(added, header.entryBytes), (number - 1) * header.entryBytes)
  const changed = { ...header, entriesCrc32: crc32(entries) }
  return parseGptEntries(changed, entries, gpt.sectorBytes)
}

function encodeEntry(partition: Omit<GptPartition, 'number'>, entryBytes: number): Uint8Array {
  const entry = Buffer.alloc(entryBytes)
  entry.set(parseGuid(partition.typeGuid), 0)
  entry.set(parseGuid(partition.uniqueGuid), 16)
  entry.writeBigUInt64LE(BigInt(partition.firstLba), 32)
  entry.writeBigUInt64LE(BigInt(partition.lastLba), 40)
  entry.writeBigUInt64LE(partition.attributes, 48)
  entry.write(partition.name.slice(0, NAME_BYTES / 2), 56, 'utf16le')
  return entry
}

/**
 * The same table for a disk of `totalSectors`: the backup lies at its end and everything before it can
 * be used. Throws BlockDeviceError if a partition does not fit in front of the backup.
 */
export function fitGpt(gpt: Gpt, totalSectors: number): Gpt {
  const lastUsableLba = totalSectors - 2 - entriesSectors(gpt.header, gpt.sectorBytes)
  const outside = gpt.partitions.find(({ lastLba }) => lastLba > lastUsableLba)
  if (outside !== undefined || lastUsableLba < gpt.header.firstUsableLba) {
    throw broken(
      1,
      `partition ${outside?.number ?? '-'} ends at LBA ${outside?.lastLba ?? '-'}, ` +
        `but the disk can be used up to LBA ${lastUsableLba}; it is too small for the image`,
    )
  }
  return { ...gpt, header: { ...gpt.header, alternateLba: totalSectors - 1, lastUsableLba } }
}

/** A table without partitions for a whole disk: 128 entries, the backup at its end. */
export function emptyGpt(disk: {
  readonly sectorBytes: number
  readonly totalSectors: number
  readonly diskGuid: string
}): Gpt {
  const entries = new Uint8Array(ENTRY_COUNT * MIN_ENTRY_BYTES)
  const entriesLba = 2
  const header = {
    revision: REVISION,
    headerBytes: MIN_HEADER_BYTES,
    currentLba: 1,
    alternateLba: disk.totalSectors - 1,
    firstUsableLba: entriesLba + Math.ceil(entries.length / disk.sectorBytes),
    lastUsableLba: 0,
    diskGuid: disk.diskGuid,
    entriesLba,
    entryCount: ENTRY_COUNT,
    entryBytes: MIN_ENTRY_BYTES,
    entriesCrc32: crc32(entries),
  }
  return fitGpt(
    { sectorBytes: disk.sectorBytes, header, entries, partitions: [] },
    disk.totalSectors,
  )
}

/** Both copies of a primary table as bytes with their places on the disk. */
export interface EncodedGpt {
  readonly backup: readonly GptBytes[]
  readonly primary: readonly GptBytes[]
}

export interface GptBytes {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Encodes a table of the primary kind (its header at LBA 1) and its backup at `alternateLba`. */
export function encodeGpt(gpt: Gpt): EncodedGpt {
  const { header, sectorBytes, entries } = gpt
  const backupEntriesLba = header.alternateLba - entriesSectors(header, sectorBytes)
  const backup: GptHeader = {
    ...header,
    currentLba: header.alternateLba,
    alternateLba: header.currentLba,
    entriesLba: backupEntriesLba,
  }
  return {
    backup: [
      { offset: backupEntriesLba * sectorBytes, bytes: entries },
      { offset: backup.currentLba * sectorBytes, bytes: encodeHeader(backup, sectorBytes) },
    ],
    primary: [
      { offset: header.entriesLba * sectorBytes, bytes: entries },
      { offset: header.currentLba * sectorBytes, bytes: encodeHeader(header, sectorBytes) },
    ],
  }
}

function encodeHeader(header: GptHeader, sectorBytes: number): Uint8Array {
  const sector = Buffer.alloc(sectorBytes)
  sector.write(SIGNATURE, 0, 'latin1')
  sector.writeUInt32LE(header.revision, 8)
  sector.writeUInt32LE(header.headerBytes, 12)
  sector.writeBigUInt64LE(BigInt(header.currentLba), 24)
  sector.writeBigUInt64LE(BigInt(header.alternateLba), 32)
  sector.writeBigUInt64LE(BigInt(header.firstUsableLba), 40)
  sector.writeBigUInt64LE(BigInt(header.lastUsableLba), 48)
  sector.set(parseGuid(header.diskGuid), 56)
  sector.writeBigUInt64LE(BigInt(header.entriesLba), 72)
  sector.writeUInt32LE(header.entryCount, 80)
  sector.writeUInt32LE(header.entryBytes, 84)
  sector.writeUInt32LE(header.entriesCrc32, 88)
  sector.writeUInt32LE(headerCrc32(sector.subarray(0, header.headerBytes)), 16)
  return sector
}

/** The header's CRC is computed with its own field zero (UEFI 2.10 §5.3.2). */
function headerCrc32(header: Uint8Array): number {
  const copy = Buffer.from(header)
  copy.fill(0, 16, 20)
  return crc32(copy)
}

function entriesSectors(header: GptHeader, sectorBytes: number): number {
  return Math.ceil((header.entryCount * header.entryBytes) / sectorBytes)
}

function broken(lba: number, what: string): AgentError {
  return new AgentError('BlockDeviceError', `the GPT at LBA ${lba} is not valid: ${what}`)
}
