// SPDX-License-Identifier: Apache-2.0
// Owns the second proof of an image that was unpacked: every byte that went to the disk reads back from it, zeros
// included, unless those that the disk itself made are only to be sampled. A sum per extent tells a disk that lost it;
// that the image is the right one, the hash of the file has told before. Does not write.
import type { Config } from '../../config/options.ts'
import { type DiskRange, type DiskSink, endOf, rangeOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { MadeZero } from '../transfer/zeroes.ts'
import { sumOf } from './extent-sum.ts'
import { inTurn } from './in-turn.ts'
import { RangeComparison } from './range-comparison.ts'
import { partsOf, UnreadRanges, type WrittenPart, type WrittenRange } from './unread-ranges.ts'

/** Read at once; one such part is compared while others are read. */
const READ_BYTES = 2 * MiB
const BUFFERS = 4
/** Read this far behind what was written last: the disk's own cache has let go (docs/design/010-read-back.md). */
const LAG_BYTES = 64 * MiB
/** Of zeros, remembered as one: the first are read while the last are made. */
const ZEROS_BYTES = 32 * MiB
/** Of zeros that are sampled, one such part is read at both of its ends, of 64 KiB: the kernel asks for no more at once. */
const SAMPLED_BYTES = 16 * MiB
const SAMPLE_BYTES = 64 * 1024
/** Remembered at most; then writes wait until some have been read back. 25 MiB of memory. */
const MOST_ENTRIES = 256 * 1024

/** Disposal ends a reading under way; the device must stay open until then. */
export interface UnpackedProof extends AsyncDisposable {
  /** A sink that remembers what has passed it to `next`. Throws ReadBackMismatchError. */
  sinkTo(next: DiskSink): DiskSink
  /** These bytes were made zero. Throws ReadBackMismatchError. */
  readonly zeroed: (range: MadeZero) => Promise<void>
  /** Bytes read back so far. */
  readonly doneBytes: number
  /** Bytes to be read back. */
  readonly totalBytes: number
  /** Everything is on the medium: reads what is left. Throws ReadBackMismatchError, BlockDeviceError. */
  finish(onProgress: (bytes: number) => void): Promise<void>
}

export interface UnpackedProofOptions {
  readonly device: Pick<BlockDevice, 'read' | 'sync' | 'geometry'>
  /** Read while the rest is still written. */
  readonly isTrailing: boolean
  /** Of zeros that the disk itself made: all of them are read, or samples. */
  readonly zeroesVerify: Config['zeroes_verify']
  /** What was synced before it is read from the disk after it, and not from the page cache. */
  readonly dropCache: () => Promise<void>
  readonly signal: AbortSignal
}

/** A proof that has seen nothing yet. */
export function createUnpackedProof(options: UnpackedProofOptions): UnpackedProof {
  return new ReadBehindWrites(options)
}

class ReadBehindWrites implements UnpackedProof {
  readonly #options: UnpackedProofOptions
  readonly #buffers = Array.from({ length: BUFFERS }, () => allocateAligned(READ_BYTES))
  readonly #unread = new UnreadRanges(READ_BYTES)
  readonly #comparison: RangeComparison
  #doneBytes = 0
  #onProgress: (bytes: number) => void = () => undefined
  /** One at a time. */
  #reading: Promise<void> | undefined
  #trailing: Promise<void> | undefined
  /** Of a reading that nobody waited for. */
  #failure: { readonly error: unknown } | undefined
  #isEnding = false

  /** Of no receiver: whoever makes zeros is given it alone. */
  readonly zeroed = async (range: MadeZero): Promise<void> => {
    this.#throwFailure()
    const isSampled = range.isByDevice && this.#options.zeroesVerify === 'sample'
    const parts = isSampled ? samplesOf(range) : partsOf(range, ZEROS_BYTES)
    for (const part of parts) await this.#remember({ ...part, sum: undefined })
  }

  constructor(options: UnpackedProofOptions) {
    this.#options = options
    this.#comparison = new RangeComparison(options.device.geometry.path, READ_BYTES)
  }

  get doneBytes(): number {
    return this.#doneBytes
  }

  get totalBytes(): number {
    return this.#unread.totalBytes
  }

  sinkTo(next: DiskSink): DiskSink {
    return {
      write: async (extent) => {
        this.#throwFailure()
        const sum = sumOf(extent.data)
        await next.write(extent)
        await this.#remember({ ...rangeOf(extent), sum })
      },
    }
  }

  async finish(onProgress: (bytes: number) => void): Promise<void> {
    await this.#trailing
    this.#throwFailure()
    this.#onProgress = onProgress
    await this.#advance(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true
    await this.#trailing
    await this.#reading?.catch(() => undefined)
  }

  async #remember(range: WrittenRange): Promise<void> {
    this.#unread.add(range)
    if (this.#unread.count > MOST_ENTRIES) {
      await this.#options.device.sync()
      await this.#options.dropCache()
      // what was written last may lie in the disk's own cache
      await this.#advance(LAG_BYTES)
    }
    this.#trail()
  }

  /** Begins a reading that nobody waits for, if there is enough to read. */
  #trail(): void {
    const behindBytes = this.totalBytes - this.#doneBytes
    if (!this.#options.isTrailing || this.#trailing || behindBytes < 2 * LAG_BYTES) return
    this.#trailing = this.#advance(LAG_BYTES)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#trailing = undefined
      })
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
  }

  /** Reads all that so many bytes were written after. */
  async #advance(lagBytes: number): Promise<void> {
    while (this.#reading !== undefined) await this.#reading
    this.#reading = this.#readBehind(lagBytes).finally(() => {
      this.#reading = undefined
    })
    await this.#reading
  }

  async #readBehind(lagBytes: number): Promise<void> {
    const parts = this.#unread.partsBehind(lagBytes)
    const reads = new Set<Promise<unknown>>()
    const readNext = (slot: number) => {
      const part = this.#isEnding ? undefined : parts.next().value
      if (!part) return undefined
      const read = this.#readPart(part, slot)
      const forget = () => reads.delete(read)
      reads.add(read)
      read.then(forget, forget)
      return read
    }
    try {
      for await (const { part, bytes } of inTurn(BUFFERS, readNext)) {
        if (this.#isEnding) return
        this.#options.signal.throwIfAborted()
        this.#comparison.compare(part, bytes)
        this.#doneBytes += part.length
        this.#onProgress(part.length)
      }
    } finally {
      // their buffers, and the device, are somebody else's afterwards
      await Promise.allSettled(reads)
    }
    this.#unread.forgetHandedOut()
  }

  async #readPart(part: WrittenPart, slot: number) {
    const bytes = (this.#buffers[slot] as Uint8Array).subarray(0, part.length)
    await this.#options.device.read(part.offset, bytes)
    return { part, bytes }
  }
}

function* samplesOf(range: DiskRange): Generator<DiskRange> {
  for (const part of partsOf(range, SAMPLED_BYTES)) {
    const isShort = part.length <= 2 * SAMPLE_BYTES
    yield isShort ? part : { offset: part.offset, length: SAMPLE_BYTES }
    if (!isShort) yield { offset: endOf(part) - SAMPLE_BYTES, length: SAMPLE_BYTES }
  }
}
