// SPDX-License-Identifier: Apache-2.0
// Owns the seek table of a zstd file (zstd's contrib/seekable_format): the sizes of all frames, in a skippable frame
// that ends the file. Does not compress, nor decode.
import { AgentError } from '../../../core/errors.ts'

/** One frame, in the order of the file; a skippable one holds no bytes of the image. */
export interface SeekEntry {
  readonly fileBytes: number
  readonly imageBytes: number
}

/** Skippable frames of other people have other lowest bits. */
const TABLE_MAGIC = 0x184d2a5e
const FOOTER_MAGIC = 0x8f92eab1
/** Magic and length (RFC 8878 §3.1.2). */
export const SKIPPABLE_HEADER_BYTES = 8
/** Number of frames, descriptor, magic. */
export const SEEK_FOOTER_BYTES = 9
const ENTRY_BYTES = 8
const CHECKSUM_BYTES = 4
const HAS_CHECKSUMS = 0x80
const RESERVED_BITS = 0x7c

/** The last frame of the file, with all before it. */
export function encodeSeekTable(entries: readonly SeekEntry[]): Uint8Array {
  const bodyBytes = entries.length * ENTRY_BYTES + SEEK_FOOTER_BYTES
  const bytes = new Uint8Array(SKIPPABLE_HEADER_BYTES + bodyBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, TABLE_MAGIC, true)
  view.setUint32(4, bodyBytes, true)
  let at = SKIPPABLE_HEADER_BYTES
  for (const { fileBytes, imageBytes } of entries) {
    view.setUint32(at, fileBytes, true)
    view.setUint32(at + 4, imageBytes, true)
    at += ENTRY_BYTES
  }
  view.setUint32(at, entries.length, true)
  view.setUint32(at + 5, FOOTER_MAGIC, true)
  return bytes
}

/**
 * The length of the frame that holds the table, by the last bytes of the file; undefined where the file ends
 * otherwise.
 * @param tail the last SEEK_FOOTER_BYTES of the file
 */
export function seekTableBytes(tail: Uint8Array): number | undefined {
  const footer = readFooter(tail)
  if (!footer) return undefined
  return SKIPPABLE_HEADER_BYTES + footer.count * footer.entryBytes + SEEK_FOOTER_BYTES
}

/**
 * The frames before the table. Throws InvalidImage for a table that does not speak of this file: its sizes are
 * claims, and whoever decodes has to hold each frame to them.
 * @param frame the whole skippable frame
 * @param fileBytes length of the file that it ends
 */
export function parseSeekTable(frame: Uint8Array, fileBytes: number): SeekEntry[] {
  const footer = readFooter(frame.subarray(-SEEK_FOOTER_BYTES))
  if (!footer || seekTableBytes(frame.subarray(-SEEK_FOOTER_BYTES)) !== frame.length) {
    throw broken(`it has ${frame.length} bytes, which its last ones do not fit`)
  }
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (
    view.getUint32(0, true) !== TABLE_MAGIC ||
    view.getUint32(4, true) !== frame.length - SKIPPABLE_HEADER_BYTES
  ) {
    throw broken('no skippable frame begins where it has to begin')
  }
  const entries: SeekEntry[] = []
  let sumBytes = frame.length
  for (let index = 0; index < footer.count; index++) {
    const at = SKIPPABLE_HEADER_BYTES + index * footer.entryBytes
    const entry = { fileBytes: view.getUint32(at, true), imageBytes: view.getUint32(at + 4, true) }
    sumBytes += entry.fileBytes
    entries.push(entry)
  }
  if (sumBytes !== fileBytes) {
    throw broken(
      `its ${footer.count} frames and itself have ${sumBytes} bytes, the file ${fileBytes}`,
    )
  }
  return entries
}

function readFooter(tail: Uint8Array): { count: number; entryBytes: number } | undefined {
  if (tail.length !== SEEK_FOOTER_BYTES) return undefined
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength)
  const descriptor = view.getUint8(4)
  if (view.getUint32(5, true) !== FOOTER_MAGIC || (descriptor & RESERVED_BITS) !== 0) {
    return undefined
  }
  const hasChecksums = (descriptor & HAS_CHECKSUMS) !== 0
  return {
    count: view.getUint32(0, true),
    entryBytes: ENTRY_BYTES + (hasChecksums ? CHECKSUM_BYTES : 0),
  }
}

function broken(why: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the seek table of the zstd file is broken: ${why}; make the file anew`,
  )
}
