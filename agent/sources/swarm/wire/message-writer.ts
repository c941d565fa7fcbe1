// SPDX-License-Identifier: Apache-2.0
// Owns the way from messages to the bytes of a connection: all of a turn in one write, what steers the
// transfer in front of blocks that wait, memory that is used again. Does not know sockets.
import { BLOCK_BYTES } from '../torrent/piece-layout.ts'
import { PieceSet } from '../torrent/piece-set.ts'
import { BLOCK_HEADER_BYTES, MESSAGE_IDS, writeUint32 } from './messages.ts'

/** Four blocks; a write of this size costs little more than one of 16 KiB. */
const CHUNK_BYTES = 4 * (BLOCK_BYTES + BLOCK_HEADER_BYTES)
const KEPT_CHUNKS = 8
const FIRST_URGENT_BYTES = 1024
/** All that is ever asked or refused at a time; a peer that lets more pile up does not read, whatever keeps it. */
const MAX_URGENT_BYTES = 64 * 1024
/** Beyond this much HAVEs wait as bits, and hints are left out. */
const HAVE_WINDOW_BYTES = 16 * 1024
const HAVE_BYTES = 9

/** Chunks that wait for their next use; shared by all connections of a worker. */
export interface ChunkPool {
  take(): Uint8Array
  give(chunk: Uint8Array): void
}

export function createChunkPool(): ChunkPool {
  const free: Uint8Array[] = []
  return {
    take: () => free.pop() ?? new Uint8Array(new ArrayBuffer(CHUNK_BYTES)),
    give: (chunk) => {
      if (free.length < KEPT_CHUNKS) free.push(chunk)
    },
  }
}

export interface MessageWriterDeps {
  readonly chunks: ChunkPool
  readonly pieceCount: number
  /** Passes the bytes on; they stay as they are until `onWritten`. One write at a time. */
  write(bytes: Uint8Array, onWritten: () => void): void
  /** A write has reached the kernel: there may be room for more. */
  onDrain(): void
  /** The peer does not read: the connection is of no use. It may be an honest one, whose disk or machine stands still. */
  onUnread(reason: string): void
}

interface Chunk {
  readonly bytes: Uint8Array
  usedBytes: number
}

export class MessageWriter {
  readonly #deps: MessageWriterDeps
  /** Requests, HAVEs and the like. */
  #urgent = new Uint8Array(FIRST_URGENT_BYTES)
  #urgentBytes = 0
  readonly #blocks: Chunk[] = []
  #blockBytes = 0
  #writingBytes = 0
  /** Pieces to be announced when the peer has read what is in front. */
  #owed: PieceSet | undefined
  #isOpen = false
  #isDue = false

  constructor(deps: MessageWriterDeps) {
    this.#deps = deps
  }

  /** Bytes that have not reached the kernel. */
  get unsentBytes(): number {
    return this.#urgentBytes + this.#blockBytes + this.#writingBytes
  }

  /** From now on there is something to write to; what was said before goes out first. */
  open(): void {
    this.#isOpen = true
    this.#flushSoon()
  }

  /** The connection is gone. */
  close(): void {
    this.#isOpen = false
    this.#urgentBytes = 0
    this.#owed = undefined
    for (const { bytes } of this.#blocks.splice(0)) this.#giveBack(bytes)
    this.#blockBytes = 0
  }

  /** A message of an id and numbers. */
  message(id: number, ...numbers: readonly number[]): void {
    const length = 1 + 4 * numbers.length
    const at = this.#reserve(4 + length)
    if (at < 0) return
    const bytes = this.#urgent
    writeUint32(bytes, at, length)
    bytes[at + 4] = id
    for (let i = 0; i < numbers.length; i++)
      writeUint32(bytes, at + 5 + 4 * i, numbers[i] as number)
    this.#flushSoon()
  }

  /** Announces a piece. A peer that does not read is owed a bit for it: 32 KiB for the most pieces there are. */
  have(piece: number): void {
    if (this.#urgentBytes + HAVE_BYTES <= HAVE_WINDOW_BYTES) {
      this.message(MESSAGE_IDS.have, piece)
      return
    }
    this.#owed ??= new PieceSet(this.#deps.pieceCount)
    this.#owed.add(piece)
  }

  /** Bytes that are whole messages already. */
  raw(messages: Uint8Array): void {
    const at = this.#reserve(messages.length)
    if (at < 0) return
    this.#urgent.set(messages, at)
    this.#flushSoon()
  }

  /** The same of a message that may be lost: who does not read is not told what is old by the time it does. */
  hint(message: Uint8Array): void {
    if (this.#urgentBytes + message.length <= HAVE_WINDOW_BYTES) this.raw(message)
  }

  /** A block as an answer to a request; it is copied. At most 128 KiB. */
  block(piece: number, offset: number, block: Uint8Array): void {
    const length = BLOCK_HEADER_BYTES + block.length
    const { bytes, usedBytes: at } = this.#chunkFor(length)
    writeUint32(bytes, at, length - 4)
    bytes[at + 4] = MESSAGE_IDS.piece
    writeUint32(bytes, at + 5, piece)
    writeUint32(bytes, at + 9, offset)
    bytes.set(block, at + BLOCK_HEADER_BYTES)
    ;(this.#blocks.at(-1) as Chunk).usedBytes += length
    this.#blockBytes += length
    this.#flushSoon()
  }

  #chunkFor(length: number): Chunk {
    const last = this.#blocks.at(-1)
    if (last && last.usedBytes + length <= last.bytes.length) return last
    const bytes = length <= CHUNK_BYTES ? this.#deps.chunks.take() : new Uint8Array(length)
    const chunk = { bytes, usedBytes: 0 }
    this.#blocks.push(chunk)
    return chunk
  }

  /** @returns where to write; -1 if there is too much already */
  #reserve(length: number): number {
    const at = this.#urgentBytes
    const needed = at + length
    if (needed > MAX_URGENT_BYTES) {
      this.#deps.onUnread(`it does not read: ${at} bytes of messages wait for it`)
      return -1
    }
    if (needed > this.#urgent.length) {
      const grown = new Uint8Array(2 ** Math.ceil(Math.log2(needed)))
      grown.set(this.#urgent.subarray(0, at))
      this.#urgent = grown
    }
    this.#urgentBytes = needed
    return at
  }

  /** At the end of this turn of the event loop, with what else is said in it. */
  #flushSoon(): void {
    if (this.#isDue || !this.#isOpen || this.#writingBytes > 0) return
    this.#isDue = true
    queueMicrotask(() => {
      this.#isDue = false
      this.#flush()
    })
  }

  #flush(): void {
    if (!this.#isOpen || this.#writingBytes > 0) return
    this.#payOwed()
    if (this.#urgentBytes > 0) {
      const bytes = this.#urgent.subarray(0, this.#urgentBytes)
      this.#urgent = new Uint8Array(FIRST_URGENT_BYTES)
      this.#urgentBytes = 0
      this.#write(bytes, () => undefined)
      return
    }
    const chunk = this.#blocks.shift()
    if (chunk === undefined) return
    this.#blockBytes -= chunk.usedBytes
    this.#write(chunk.bytes.subarray(0, chunk.usedBytes), () => {
      this.#giveBack(chunk.bytes)
    })
  }

  /** Not those of a longer block: each of the pool's serves any connection. */
  #giveBack(bytes: Uint8Array): void {
    if (bytes.length === CHUNK_BYTES) this.#deps.chunks.give(bytes)
  }

  /** As many of the announcements as there is room for. */
  #payOwed(): void {
    const owed = this.#owed
    if (owed === undefined || this.#urgentBytes + HAVE_BYTES > HAVE_WINDOW_BYTES) return
    for (const piece of owed) {
      if (this.#urgentBytes + HAVE_BYTES > HAVE_WINDOW_BYTES) return
      owed.delete(piece)
      this.message(MESSAGE_IDS.have, piece)
    }
    this.#owed = undefined
  }

  #write(bytes: Uint8Array, release: () => void): void {
    this.#writingBytes = bytes.length
    this.#deps.write(bytes, () => {
      this.#writingBytes = 0
      release()
      this.#flush()
      this.#deps.onDrain()
    })
  }
}
