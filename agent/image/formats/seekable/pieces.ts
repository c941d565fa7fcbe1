// SPDX-License-Identifier: Apache-2.0
// Owns filling the pieces of a torrent with whole frames: a run of the image that does not fit into what is left of a
// piece is divided, the rest of the piece is padded. So every piece decodes by itself. Does not read, nor write files.
import { KiB, MiB, roundDown } from '../../../core/units.ts'
import { type PackFrame, paddingFrame } from './frame-packer.ts'
import { encodeSeekTable, type SeekEntry, SKIPPABLE_HEADER_BYTES } from './seek-table.ts'

/** The most of the image in one frame: what decodes it has room for all of it. */
const MOST_CHUNK_BYTES = MiB
/** Frames begin at multiples of it in the image: the largest sector of a disk, and a page. */
export const CHUNK_UNIT_BYTES = 4 * KiB
/** What is left of a piece is filled while it is more than this part of it. */
const LEAST_GAP_SHARE = 1 / 64
/** A run is cut a little shorter than its packed size would have it. */
const CAUTION = 0.97
const MOST_TRIES = 3

/** How much of the image goes into one frame, where it is not divided. */
export function chunkBytesOf(pieceLength: number): number {
  return Math.min(
    MOST_CHUNK_BYTES,
    Math.max(CHUNK_UNIT_BYTES, roundDown(pieceLength, CHUNK_UNIT_BYTES)),
  )
}

export interface PieceWriter {
  /** The next run of the image, and the same as a frame. Resolves when both may be used again. */
  add(bytes: Uint8Array, frame: Uint8Array): Promise<void>
  /** Ends the file with its seek table. Resolves to its length, bytes. */
  finish(): Promise<number>
}

export interface PieceWriterOptions {
  /** 16 KiB and more. */
  readonly pieceLength: number
  readonly pack: PackFrame
  /** Takes the file in its order; a piece at a time. */
  readonly write: (bytes: Uint8Array) => Promise<void>
}

export function createPieceWriter({ pieceLength, pack, write }: PieceWriterOptions): PieceWriter {
  const piece = new Uint8Array(pieceLength)
  const entries: SeekEntry[] = []
  let filledBytes = 0
  let writtenBytes = 0

  const put = async (frame: Uint8Array, imageBytes: number) => {
    piece.set(frame, filledBytes)
    filledBytes += frame.length
    entries.push({ fileBytes: frame.length, imageBytes })
    if (filledBytes === pieceLength) await flush()
  }
  const flush = async () => {
    await write(piece.subarray(0, filledBytes))
    writtenBytes += filledBytes
    filledBytes = 0
  }
  const gap = () => pieceLength - filledBytes
  /** What is left behind it has to have room for a frame of padding, or be nothing. */
  const fits = (frame: Uint8Array) =>
    frame.length === gap() || frame.length + SKIPPABLE_HEADER_BYTES <= gap()

  /** As much of the beginning of a run as fits into the gap; undefined for nothing. */
  const cut = async (bytes: Uint8Array, packedBytes: number) => {
    let share = gap() / packedBytes
    let length = bytes.length
    for (let tries = 0; tries < MOST_TRIES || filledBytes === 0; tries++) {
      const next = roundDown(length * share * CAUTION, CHUNK_UNIT_BYTES)
      length = Math.min(next, roundDown(length - 1, CHUNK_UNIT_BYTES))
      if (length <= 0) return undefined
      const frame = await pack(bytes.subarray(0, length))
      if (fits(frame)) return { frame, length }
      share = gap() / frame.length
    }
    return undefined
  }
  return {
    add: async (bytes, frame) => {
      let [rest, packed] = [bytes, frame]
      while (!fits(packed)) {
        const isWorthIt = gap() > pieceLength * LEAST_GAP_SHARE
        const head = isWorthIt ? await cut(rest, packed.length) : undefined
        if (!head) {
          await put(paddingFrame(gap()), 0)
          continue
        }
        await put(head.frame, head.length)
        rest = rest.subarray(head.length)
        packed = await pack(rest)
      }
      await put(packed, rest.length)
    },
    finish: async () => {
      if (filledBytes > 0) await flush()
      const table = encodeSeekTable(entries)
      await write(table)
      return writtenBytes + table.length
    },
  }
}
