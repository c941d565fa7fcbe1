// SPDX-License-Identifier: Apache-2.0
// Owns the file as it comes in where nothing of it is kept: handed on in its order, hashed on the way, and held up
// until who takes it is ready. Does not fetch, unpack or write.
import { AgentError } from '../../core/errors.ts'
import { endOf, type FileExtent, type FileSink, rangeOf } from '../../core/extent.ts'
import type { FileChunk } from '../formats/unpacker.ts'
import { createHasher } from '../request/hash-algorithm.ts'

/** The file begins anew: its source has another version of it. What was made of the old one counts for nothing. */
export class FileRewound extends Error {
  constructor() {
    super('the file begins anew')
    this.name = 'FileRewound'
  }
}

export interface InOrderFile {
  /** Takes extents that follow each other, or soon will. A write ends when its bytes were made use of. */
  readonly sink: FileSink
  /**
   * What comes from here on; who stops before the end leaves the rest to the next who asks. Throws FileRewound, and
   * what `fail` was told.
   */
  chunks(): AsyncGenerator<FileChunk, void>
  /** Ends both sides with this error; the first counts. */
  fail(error: unknown): void
  /** The lower-case hex digest of the file. To be asked for once, at its end. */
  digest(): string
}

interface Waiting {
  readonly extent: FileExtent
  readonly taken: PromiseWithResolvers<void>
}

/** @param algo of the digest, as hash-algorithm.ts names it */
export function createInOrderFile(fileBytes: number, algo: string): InOrderFile {
  return new HeldUpFile(fileBytes, algo)
}

class HeldUpFile implements InOrderFile {
  readonly sink: FileSink = { write: (extent) => this.#write(extent) }
  readonly #fileBytes: number
  readonly #algo: string
  #hash: ReturnType<typeof createHasher>
  /** The first byte that was not handed on. */
  #at = 0
  /** The first byte that was not brought. */
  #end = 0
  #isRewound = false
  /** What is to be handed on, in its order. */
  readonly #queue: Waiting[] = []
  /** By their offsets: one that is written anew may be overtaken by the one behind it. As many as the source has buffers. */
  readonly #ahead = new Map<number, Waiting>()
  #failure: { readonly error: unknown } | undefined
  #arrival = Promise.withResolvers<void>()

  constructor(fileBytes: number, algo: string) {
    this.#fileBytes = fileBytes
    this.#algo = algo
    this.#hash = createHasher(algo)
  }

  async *chunks(): AsyncGenerator<FileChunk, void> {
    while (this.#at < this.#fileBytes) {
      const { extent, taken } = await this.#next()
      try {
        this.#hash.update(extent.data)
        this.#at = endOf(rangeOf(extent))
        yield { offset: extent.offset, bytes: extent.data }
      } finally {
        taken.resolve()
      }
    }
  }

  fail(error: unknown): void {
    this.#failure ??= { error }
    for (const { taken } of [...this.#queue.splice(0), ...this.#ahead.values()]) {
      taken.reject(this.#failure.error)
    }
    this.#ahead.clear()
    this.#wake()
  }

  digest(): string {
    return this.#hash.digest('hex')
  }

  async #write(extent: FileExtent): Promise<void> {
    if (this.#failure) throw this.#failure.error
    if (extent.offset === 0 && this.#end > 0) this.#rewind()
    if (extent.offset < this.#end) throw outOfOrder(extent, this.#end)
    const taken = Promise.withResolvers<void>()
    this.#ahead.set(extent.offset, { extent, taken })
    this.#lineUp()
    await taken.promise
  }

  #rewind(): void {
    this.#hash = createHasher(this.#algo)
    this.#at = 0
    this.#end = 0
    this.#isRewound = true
    this.#wake()
  }

  /** Those that follow what was brought. */
  #lineUp(): void {
    for (let next = this.#ahead.get(this.#end); next; next = this.#ahead.get(this.#end)) {
      this.#ahead.delete(this.#end)
      this.#end = endOf(rangeOf(next.extent))
      this.#queue.push(next)
    }
    this.#wake()
  }

  async #next(): Promise<Waiting> {
    for (;;) {
      if (this.#failure) throw this.#failure.error
      if (this.#isRewound) {
        this.#isRewound = false
        throw new FileRewound()
      }
      const waiting = this.#queue.shift()
      if (waiting) return waiting
      await this.#arrival.promise
    }
  }

  #wake(): void {
    this.#arrival.resolve()
    this.#arrival = Promise.withResolvers()
  }
}

function outOfOrder({ offset }: FileExtent, end: number): AgentError {
  return new AgentError(
    'ImageDownloadError',
    `bytes from ${offset} on came where those from ${end} on were to follow: the image is unpacked in its order`,
  )
}
