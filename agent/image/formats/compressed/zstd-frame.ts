// SPDX-License-Identifier: Apache-2.0
// Owns the frames of a zstd file (RFC 8878 §3.1): where each begins and ends, what its header says. Walks over
// the blocks by their sizes; does not decode.
import { AgentError } from '../../../core/errors.ts'
import { formatBytes, KiB, MiB } from '../../../core/units.ts'

export interface ZstdFrameHeader {
  /** Metadata of others, a seek table: not a part of the image. */
  readonly isSkippable: boolean
  /** What a decoder has to remember of its output; 0 of a skippable frame. */
  readonly windowBytes: number
  /** What it decodes to; null where the frame does not say. */
  readonly contentBytes: number | null
  /** 0 for none. */
  readonly dictionaryId: number
  /** As they stand in the file. */
  readonly bytes: Uint8Array
}

/** With 128 MiB, as much as zstd(1) takes, unpacking alone is at 225 MiB; the agent may take 256 (docs/design/220-formats.md). */
export const MOST_WINDOW_BYTES = 64 * MiB

const MAGIC = 0xfd2fb528
/** Of a skippable frame; its lowest four bits are free (RFC 8878 §3.1.2). */
export const SKIPPABLE_MAGIC = 0x184d2a50
/** Magic, descriptor, window, dictionary id of 4, content size of 8 bytes. */
const MOST_HEADER_BYTES = 18
const BLOCK_HEADER_BYTES = 3
const CHECKSUM_BYTES = 4
const MOST_BLOCK_BYTES = 128 * KiB
const RLE_BLOCK = 1
const RESERVED_BLOCK = 3

/** Follows one frame through chunks of the file. Throws InvalidImage for what is none. */
export class ZstdFrame {
  /** Where it begins in the file. */
  readonly startOffset: number
  readonly #head = new Uint8Array(MOST_HEADER_BYTES)
  #headBytes = 0
  #header: ZstdFrameHeader | undefined
  /** Bytes of a block, of the checksum or of a skippable frame that are to be passed over. */
  #skipBytes = 0
  #blockHeader = { bytes: 0, value: 0 }
  #isLastBlock = false
  #blocks = 0
  #hasChecksum = false

  constructor(startOffset: number) {
    this.startOffset = startOffset
  }

  /** Once all of it was read. */
  get header(): ZstdFrameHeader | undefined {
    return this.#header
  }

  get isEnded(): boolean {
    return this.#header !== undefined && this.#isLastBlock && this.#skipBytes === 0
  }

  /** What the blocks that were walked over decode to at most, bytes. */
  get mostContentBytes(): number {
    return this.#blocks * MOST_BLOCK_BYTES
  }

  /** Reads on in the header from `at` on; the index of the first byte behind what was read. */
  readHeader(bytes: Uint8Array, at: number): number {
    let next = at
    while (next < bytes.length && !this.#header) {
      this.#head[this.#headBytes++] = bytes[next++] as number
      this.#parseHeader()
    }
    return next
  }

  /** Walks on from `at` behind the header; the index of the first byte behind the frame, or the end of `bytes`. */
  walk(bytes: Uint8Array, at: number): number {
    let next = at
    while (next < bytes.length && !this.isEnded) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, bytes.length - next)
        this.#skipBytes -= skipped
        next += skipped
        continue
      }
      const block = this.#blockHeader
      block.value += (bytes[next++] as number) * 2 ** (8 * block.bytes++)
      if (block.bytes === BLOCK_HEADER_BYTES) this.#beginBlock()
    }
    return next
  }

  /** For a file that ends here. */
  truncated(fileBytes: number): AgentError {
    return new AgentError(
      'InvalidImage',
      `the zstd file ends at byte ${fileBytes} within a frame that begins at byte ${this.startOffset}: it was cut ` +
        'before it was hashed; make it anew',
    )
  }

  /** §3.1.1.2: last block 1 bit, type 2 bits, size 21 bits. */
  #beginBlock(): void {
    const { value } = this.#blockHeader
    this.#blockHeader = { bytes: 0, value: 0 }
    const type = (value >> 1) & 3
    const sizeBytes = value >> 3
    if (type === RESERVED_BLOCK || (type !== RLE_BLOCK && sizeBytes > MOST_BLOCK_BYTES)) {
      throw this.#broken(`a block of type ${type} and ${sizeBytes} bytes`)
    }
    this.#blocks += 1
    this.#isLastBlock = (value & 1) === 1
    this.#skipBytes = type === RLE_BLOCK ? 1 : sizeBytes
    if (this.#isLastBlock && this.#hasChecksum) this.#skipBytes += CHECKSUM_BYTES
  }

  #parseHeader(): void {
    if (this.#headBytes < 4) return
    const view = new DataView(this.#head.buffer)
    const magic = view.getUint32(0, true)
    // the lowest four bits of a skippable frame's are free (§3.1.2)
    if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
      if (this.#headBytes < 8) return
      this.#skipBytes = view.getUint32(4, true)
      this.#isLastBlock = true
      this.#header = { ...this.#plainHeader(), isSkippable: true }
      return
    }
    if (magic !== MAGIC) {
      throw this.#broken(
        `neither a frame nor a skippable frame begins there (${Buffer.from(this.#head.subarray(0, 4)).toString('hex')})`,
      )
    }
    if (this.#headBytes < 5) return
    this.#parseFrameHeader(view)
  }

  /** §3.1.1.1 */
  #parseFrameHeader(view: DataView): void {
    const descriptor = view.getUint8(4)
    const isSingleSegment = (descriptor & 0x20) !== 0
    const sizeFlag = descriptor >> 6
    const sizeLength = [isSingleSegment ? 1 : 0, 2, 4, 8][sizeFlag] as number
    const dictionaryLength = [0, 1, 2, 4][descriptor & 3] as number
    const dictionaryAt = isSingleSegment ? 5 : 6
    const sizeAt = dictionaryAt + dictionaryLength
    if (this.#headBytes < sizeAt + sizeLength) return
    if ((descriptor & 0x08) !== 0) throw this.#broken('its header has a reserved bit set')
    const contentBytes = sizeLength === 0 ? null : contentSize(view, sizeAt, sizeLength)
    this.#hasChecksum = (descriptor & 0x04) !== 0
    this.#header = {
      ...this.#plainHeader(),
      windowBytes: isSingleSegment ? (contentBytes as number) : windowSize(view.getUint8(5)),
      contentBytes,
      dictionaryId: littleEndian(view, dictionaryAt, dictionaryLength),
    }
  }

  #plainHeader(): ZstdFrameHeader {
    return {
      isSkippable: false,
      windowBytes: 0,
      contentBytes: null,
      dictionaryId: 0,
      bytes: this.#head.slice(0, this.#headBytes),
    }
  }

  #broken(why: string): AgentError {
    return new AgentError(
      'InvalidImage',
      `the zstd file is broken in its frame at byte ${this.startOffset}: ${why}. Its hash is the expected one, so ` +
        'it was made like this: zstd --test tells the same; make it anew',
    )
  }
}

/**
 * The header of the first frame with content that lies within the beginning of a file; undefined where none does.
 * Throws InvalidImage.
 */
export function firstFrameHeader(firstBytes: Uint8Array): ZstdFrameHeader | undefined {
  for (let at = 0; at < firstBytes.length; ) {
    const frame = new ZstdFrame(at)
    at = frame.readHeader(firstBytes, at)
    if (frame.header?.isSkippable === false) return frame.header
    at = frame.walk(firstBytes, at)
  }
  return undefined
}

/** Throws InvalidImage for a frame that takes more memory than a node has to give, or what is not in the file. */
export function assertDecodable({ windowBytes, dictionaryId }: ZstdFrameHeader): void {
  if (dictionaryId !== 0) {
    throw new AgentError(
      'InvalidImage',
      `the zstd file was packed with dictionary ${dictionaryId}, which it does not hold; pack it without -D`,
    )
  }
  if (windowBytes <= MOST_WINDOW_BYTES) return
  throw new AgentError(
    'InvalidImage',
    `the zstd file needs a window of ${formatBytes(windowBytes)} (${windowBytes} bytes) in memory, at most ` +
      `${formatBytes(MOST_WINDOW_BYTES)} are had: pack it without --ultra and with --long=26 or less`,
  )
}

/** §3.1.1.1.2 */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3))
  return base + (base / 8) * (descriptor & 7)
}

/** §3.1.1.1.4: the two-byte form counts from 256. */
function contentSize(view: DataView, at: number, length: number): number {
  return littleEndian(view, at, length) + (length === 2 ? 256 : 0)
}

function littleEndian(view: DataView, at: number, length: number): number {
  let value = 0
  for (let i = length - 1; i >= 0; i--) value = value * 256 + view.getUint8(at + i)
  return value
}
