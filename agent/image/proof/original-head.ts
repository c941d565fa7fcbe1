// SPDX-License-Identifier: Apache-2.0
// Owns guessing how the image began before a deploy fitted it to a larger disk: backup GPT moved, config
// drive added (contract 5.3.7, 5.3.8). A guess is only believed if the whole hash agrees with it.
import type { DiskBytes } from '../../disk/block-device.ts'
import {
  encodeGpt,
  entriesRange,
  hasGptSignature,
  parseGptEntries,
  parseGptHeader,
} from '../../disk/partition-table/gpt.ts'
import { fitProtectiveMbr, parseMbr, pointsToGpt } from '../../disk/partition-table/mbr.ts'

/** Bytes that stood at `offset` in the image, perhaps. */
export interface GuessedRange {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** The four 16-byte entries of the MBR (UEFI 2.10 §5.2.1). */
const MBR_ENTRIES_OFFSET = 446
const MBR_ENTRY_BYTES = 16

/**
 * What to put over the disk's bytes to get the image's back; empty if the disk gives no reason to guess.
 * Reads a few sectors; throws BlockDeviceError if they cannot be read.
 */
export async function guessOriginalHead(
  device: DiskBytes,
  imageBytes: number,
): Promise<GuessedRange[]> {
  const { logicalSectorBytes: sectorBytes } = device.geometry
  const imageSectors = Math.floor(imageBytes / sectorBytes)
  if (imageSectors < 3) return []
  const first = await readAt(device, 0, sectorBytes)
  const last = await readAt(device, (imageSectors - 1) * sectorBytes, sectorBytes)
  // the image's own backup stays where it was when a new one is made at the end of the disk; with a first
  // sector that leads to no GPT it is the remains of an older table
  if (pointsToGpt(first) && hasGptSignature(last))
    return guessGpt(device, first, last, imageSectors)
  return guessMbr(first, imageSectors)
}

async function guessGpt(
  device: DiskBytes,
  first: Uint8Array,
  last: Uint8Array,
  imageSectors: number,
): Promise<GuessedRange[]> {
  const { logicalSectorBytes: sectorBytes } = device.geometry
  try {
    const backup = parseGptHeader(last, imageSectors - 1)
    const { offset, length } = entriesRange(backup, sectorBytes)
    const entries = await readAt(device, offset, length)
    const now = parseGptHeader(await readAt(device, sectorBytes, sectorBytes), 1)
    const primary = {
      ...backup,
      currentLba: 1,
      alternateLba: imageSectors - 1,
      entriesLba: now.entriesLba,
    }
    const gpt = parseGptEntries(primary, entries, sectorBytes)
    const protective = { offset: 0, bytes: fitProtectiveMbr(first, imageSectors) }
    return [protective, ...encodeGpt(gpt).primary]
  } catch {
    // a broken table is no table to guess from: the hash decides without
    return []
  }
}

/** Without the partitions that lie behind the image: the image cannot have had them. */
function guessMbr(first: Uint8Array, imageSectors: number): GuessedRange[] {
  const added = (parseMbr(first)?.partitions ?? []).filter(
    ({ firstLba, number }) => firstLba >= imageSectors && number <= 4,
  )
  if (added.length === 0) return []
  const bytes = first.slice()
  for (const { number } of added) {
    const at = MBR_ENTRIES_OFFSET + (number - 1) * MBR_ENTRY_BYTES
    bytes.fill(0, at, at + MBR_ENTRY_BYTES)
  }
  return [{ offset: 0, bytes }]
}

async function readAt(device: DiskBytes, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  await device.read(offset, bytes)
  return bytes
}
