// SPDX-License-Identifier: Apache-2.0
// Owns whole frames of zstd that are decoded side by side, on threads of Node's pool, and handed on in their order.
// Does not walk through files, nor decode.
import { promisify } from 'node:util'
import { constants, zstdDecompress } from 'node:zlib'
import { type AgentError, messageOf } from '../../../core/errors.ts'
import { KiB, MiB } from '../../../core/units.ts'

/** Of a frame that is decoded at once, and of its window. What pzstd makes has as many. */
export const MOST_AHEAD_BYTES = 8 * MiB
/** Of the frame itself: blocks may be as long as what they hold, each with a header of 3 bytes. */
const MOST_PACKED_BYTES = MOST_AHEAD_BYTES + 4 * KiB
const FIRST_BYTES = 64 * KiB
/** Node's pool has more threads than machines of this kind have cores, and what was decoded is written by it too. */
const LANES = 3
/** Room for a little more than comes out: else Node asks again for what follows the frame, and fails. */
const SPARE_BYTES = 64

/** Memory for one frame, as it stands in the file. Grows as it comes. */
export class FrameMemory {
  #bytes = new Uint8Array(FIRST_BYTES)
  #length = 0

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** False where there is no room for them. */
  add(bytes: Uint8Array): boolean {
    const length = this.#length + bytes.length
    if (length > MOST_PACKED_BYTES) return false
    if (length > this.#bytes.length) this.#grow(length)
    this.#bytes.set(bytes, this.#length)
    this.#length = length
    return true
  }

  #grow(leastBytes: number): void {
    const grown = new Uint8Array(
      Math.min(MOST_PACKED_BYTES, Math.max(leastBytes, 2 * this.#bytes.length)),
    )
    grown.set(this.bytes)
    this.#bytes = grown
  }

  clear(): void {
    this.#length = 0
  }
}

/** A frame in memory. */
export interface WholeFrame {
  readonly memory: FrameMemory
  /** What it decodes to at most, MOST_AHEAD_BYTES and less. */
  readonly mostBytes: number
  /** What it says it decodes to; null where it does not. */
  readonly contentBytes: number | null
  /** The error for what cannot be decoded. */
  readonly faultOf: (reason: string) => AgentError
}

/** Disposal waits for what is under way. */
export interface DecodeAhead extends AsyncDisposable {
  /** Cleared, and nobody else's until it is started or given back. */
  takeMemory(): FrameMemory
  giveBack(memory: FrameMemory): void
  /** Resolves when the frame is under way. Throws what an earlier one has failed with. */
  start(frame: WholeFrame): Promise<void>
  /** Resolves when all that was started has been pushed, and its memory given up. */
  drain(): Promise<void>
}

const decompress = promisify(zstdDecompress)

/** @param push takes what was decoded, in the order in which frames were started */
export function createDecodeAhead(push: (bytes: Uint8Array) => Promise<void>): DecodeAhead {
  const free: FrameMemory[] = []
  const underWay: Promise<Uint8Array<ArrayBuffer>>[] = []
  const giveBack = (memory: FrameMemory) => {
    memory.clear()
    free.push(memory)
  }
  const pushOldest = async () => {
    const decoded = await (underWay.shift() as Promise<Uint8Array<ArrayBuffer>>)
    await push(decoded)
    // left to the collector they grow by 64 MiB; small ones lie in Node's own buffer
    if (decoded.buffer.byteLength > MiB / 2) decoded.buffer.transfer(0)
  }
  return {
    takeMemory: () => free.pop() ?? new FrameMemory(),
    giveBack,
    start: async (frame) => {
      while (underWay.length >= LANES) await pushOldest()
      const decoding = decode(frame).finally(() => giveBack(frame.memory))
      // met by pushOldest()
      decoding.catch(() => undefined)
      underWay.push(decoding)
    },
    drain: async () => {
      while (underWay.length > 0) await pushOldest()
      free.length = 0
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.allSettled(underWay)
    },
  }
}

async function decode({ memory, mostBytes, contentBytes, faultOf }: WholeFrame) {
  const outputBytes = Math.max(1, Math.min(mostBytes, contentBytes ?? mostBytes))
  const decoded = await decompress(memory.bytes, {
    maxOutputLength: outputBytes,
    chunkSize: outputBytes + SPARE_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: Math.log2(MOST_AHEAD_BYTES) },
  }).catch((error: unknown) => {
    throw faultOf(messageOf(error))
  })
  if (contentBytes === null || decoded.length === contentBytes) return decoded
  throw faultOf(`it says that it holds ${contentBytes} bytes, and holds ${decoded.length}`)
}
