// SPDX-License-Identifier: Apache-2.0
// Owns the demo's last question: does the disk hold the image? Reads both byte for byte and knows
// nothing of the agent. What a deploy rightly changes is looked at for its meaning instead of its bytes:
// the GPT (its backup moves to the end of the disk, so headers and the protective MBR entry change) and
// the config drive's new partition.
import { type FileHandle, open } from 'node:fs/promises'

const MiB = 1024 * 1024
const SECTOR = 512
/** Sectors 1 to 33: header and entries; at the end of the image the same, mirrored. */
const TABLE_SECTORS = 33
/** Of the protective MBR: the one entry says how large the disk is (UEFI 2.10 5.2.3). */
const MBR_ENTRIES = { from: 446, to: 510 }

interface Entry {
  readonly bytes: Buffer
  readonly offset: number
  readonly length: number
}

export interface DiskVerdict {
  /** Bytes that were compared and are the same. */
  readonly comparedBytes: number
  /** What is wrong, in words; empty when the disk is right. */
  readonly faults: readonly string[]
}

/** Compares a disk (device or file) with the image, and its config drive with `iso` if there is one. */
export async function verifyDisk(
  disk: string,
  image: string,
  iso: Uint8Array | undefined,
): Promise<DiskVerdict> {
  await using diskFile = await open(disk, 'r')
  await using imageFile = await open(image, 'r')
  const { size } = await imageFile.stat()
  const wanted = await readEntries(imageFile)
  const faults: string[] = []
  let ranges: [number, number][] = [[0, size]]
  let added: Entry[] = []
  if (wanted) {
    const tableBytes = TABLE_SECTORS * SECTOR
    ranges = [
      [0, MBR_ENTRIES.from],
      [MBR_ENTRIES.to, SECTOR],
      [SECTOR + tableBytes, size - tableBytes],
    ]
    const found = (await readEntries(diskFile)) ?? []
    const isIn = (list: readonly Entry[], entry: Entry) =>
      list.some((other) => other.bytes.equals(entry.bytes))
    if (found.length === 0) faults.push('no GUID partition table')
    if (!wanted.every((entry) => isIn(found, entry)))
      faults.push('a partition of the image is gone')
    added = found.filter((entry) => !isIn(wanted, entry))
  }
  let comparedBytes = 0
  for (const [from, to] of ranges) {
    const at = await firstDifference(diskFile, imageFile, from, to)
    if (at !== undefined) faults.push(`differs from the image at byte ${at}`)
    comparedBytes += (at ?? to) - from
  }
  if (iso) faults.push(...(await configDriveFaults(diskFile, added, iso, size)))
  return { comparedBytes, faults }
}

async function configDriveFaults(
  disk: FileHandle,
  added: readonly Entry[],
  iso: Uint8Array,
  imageBytes: number,
): Promise<string[]> {
  const [partition] = added
  if (!partition || added.length !== 1) {
    return [`${added.length} partitions beside those of the image, not 1 (config drive)`]
  }
  if (partition.offset < imageBytes - MiB) return ['the config drive lies inside of the image']
  const content = Buffer.alloc(iso.length)
  await disk.read(content, 0, content.length, partition.offset)
  return content.equals(iso) ? [] : ['the config drive holds something else']
}

/** Entries in use of the primary GPT; undefined if there is none (UEFI 2.10 tables 5.5 and 5.6). */
async function readEntries(file: FileHandle): Promise<Entry[] | undefined> {
  const table = Buffer.alloc((1 + TABLE_SECTORS) * SECTOR)
  await file.read(table, 0, table.length, 0)
  if (table.toString('latin1', SECTOR, SECTOR + 8) !== 'EFI PART') return undefined
  const entries: Entry[] = []
  for (let at = 2 * SECTOR; at < table.length; at += 128) {
    const bytes = table.subarray(at, at + 128)
    if (bytes.subarray(0, 16).every((byte) => byte === 0)) continue
    const first = Number(bytes.readBigUInt64LE(32))
    const last = Number(bytes.readBigUInt64LE(40))
    entries.push({ bytes, offset: first * SECTOR, length: (last - first + 1) * SECTOR })
  }
  return entries
}

/** Offset of the first byte in [from, to) that is not the same; undefined if all are. */
async function firstDifference(
  a: FileHandle,
  b: FileHandle,
  from: number,
  to: number,
): Promise<number | undefined> {
  const left = Buffer.alloc(4 * MiB)
  const right = Buffer.alloc(4 * MiB)
  for (let at = from; at < to; at += left.length) {
    const length = Math.min(left.length, to - at)
    const { bytesRead } = await a.read(left, 0, length, at)
    await b.read(right, 0, length, at)
    if (bytesRead < length) return at + bytesRead
    if (left.compare(right, 0, length, 0, length) === 0) continue
    for (let i = 0; i < length; i++) if (left[i] !== right[i]) return at + i
  }
  return undefined
}
