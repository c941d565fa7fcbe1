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

/** A file that has nothing in it yet. */
export function createPieceWriter(options: PieceWriterOptions): PieceWriter {
  return new PieceFiller(options)
}

class PieceFiller implements PieceWriter {
  readonly #options: PieceWriterOptions
  readonly #piece: Uint8Array
  readonly #entries: SeekEntry[] = []
  #filledBytes = 0
  #writtenBytes = 0

  constructor(options: PieceWriterOptions) {
    this.#options = options
    this.#piece = new Uint8Array(options.pieceLength)
  }

  async add(bytes: Uint8Array, frame: Uint8Array): Promise<void> {
    let [rest, packed] = [bytes, frame]
    while (!this.#fits(packed)) {
      const isWorthIt = this.#gapBytes > this.#piece.length * LEAST_GAP_SHARE
      const head = isWorthIt ? await this.#cut(rest, packed.length) : undefined
      if (!head) {
        await this.#put(paddingFrame(this.#gapBytes), 0)
        continue
      }
      await this.#put(head.frame, head.length)
      rest = rest.subarray(head.length)
      packed = await this.#options.pack(rest)
    }
    await this.#put(packed, rest.length)
  }

  async finish(): Promise<number> {
    if (this.#filledBytes > 0) await this.#flush()
    const table = encodeSeekTable(this.#entries)
    await this.#options.write(table)
    return this.#writtenBytes + table.length
  }

  get #gapBytes(): number {
    return this.#piece.length - this.#filledBytes
  }

  /** What is left behind it has to have room for a frame of padding, or be nothing. */
  #fits(frame: Uint8Array): boolean {
    const leftBytes = this.#gapBytes - frame.length
    return leftBytes === 0 || leftBytes >= SKIPPABLE_HEADER_BYTES
  }

  async #put(frame: Uint8Array, imageBytes: number): Promise<void> {
    this.#piece.set(frame, this.#filledBytes)
    this.#filledBytes += frame.length
    this.#entries.push({ fileBytes: frame.length, imageBytes })
    if (this.#gapBytes === 0) await this.#flush()
  }

  async #flush(): Promise<void> {
    await this.#options.write(this.#piece.subarray(0, this.#filledBytes))
    this.#writtenBytes += this.#filledBytes
    this.#filledBytes = 0
  }

  /** As much of the beginning of a run as fits into the gap; undefined for nothing. */
  async #cut(bytes: Uint8Array, packedBytes: number) {
    let share = this.#gapBytes / packedBytes
    let length = bytes.length
    for (let tries = 0; tries < MOST_TRIES || this.#filledBytes === 0; tries++) {
      const next = roundDown(length * share * CAUTION, CHUNK_UNIT_BYTES)
      length = Math.min(next, roundDown(length - 1, CHUNK_UNIT_BYTES))
      if (length <= 0) return undefined
      const frame = await this.#options.pack(bytes.subarray(0, length))
      if (this.#fits(frame)) return { frame, length }
      share = this.#gapBytes / frame.length
    }
    return undefined
  }
}
