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

export function createInOrderFile(fileBytes: number, algo: string): InOrderFile {
  let hash = createHasher(algo)
  /** The first byte that was not handed on. */
  let at = 0
  /** The first byte that was not brought. */
  let end = 0
  let isRewound = false
  const queue: Waiting[] = []
  /** By their offsets: one that is written anew may be overtaken by the one behind it. As many as the source has buffers. */
  const ahead = new Map<number, Waiting>()
  let failure: { readonly error: unknown } | undefined
  let arrival = Promise.withResolvers<void>()
  const wake = () => {
    arrival.resolve()
    arrival = Promise.withResolvers()
  }
  const rewind = () => {
    hash = createHasher(algo)
    at = 0
    end = 0
    isRewound = true
    wake()
  }
  /** Those that follow what was brought, in line. */
  const line = () => {
    for (let waiting = ahead.get(end); waiting; waiting = ahead.get(end)) {
      ahead.delete(end)
      end = endOf(rangeOf(waiting.extent))
      queue.push(waiting)
    }
    wake()
  }
  const next = async (): Promise<Waiting> => {
    for (;;) {
      if (failure) throw failure.error
      if (isRewound) {
        isRewound = false
        throw new FileRewound()
      }
      const waiting = queue.shift()
      if (waiting) return waiting
      await arrival.promise
    }
  }
  return {
    sink: {
      write: async (extent) => {
        if (failure) throw failure.error
        if (extent.offset === 0 && end > 0) rewind()
        if (extent.offset < end) throw outOfOrder(extent, end)
        const taken = Promise.withResolvers<void>()
        ahead.set(extent.offset, { extent, taken })
        line()
        await taken.promise
      },
    },
    chunks: async function* () {
      while (at < fileBytes) {
        const { extent, taken } = await next()
        try {
          hash.update(extent.data)
          at = endOf(rangeOf(extent))
          yield { offset: extent.offset, bytes: extent.data }
        } finally {
          taken.resolve()
        }
      }
    },
    fail: (error) => {
      failure ??= { error }
      for (const { taken } of [...queue.splice(0), ...ahead.values()]) taken.reject(failure.error)
      ahead.clear()
      wake()
    },
    digest: () => hash.digest('hex'),
  }
}

function outOfOrder({ offset }: FileExtent, end: number): AgentError {
  return new AgentError(
    'ImageDownloadError',
    `bytes from ${offset} on came where those from ${end} on were to follow: the image is unpacked in its order`,
  )
}
