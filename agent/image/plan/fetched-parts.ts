// SPDX-License-Identifier: Apache-2.0
// Owns small parts of a file that its server is asked for before the file is fetched: neighbours together, several at a
// time, bounded in bytes and in requests. Does not know what they are.
/// <reference lib="esnext.disposable" />
import { endOf, type FileRange, type ImageReader } from '../../core/extent.ts'
import { KiB, MiB } from '../../core/units.ts'
import { openFileReader } from '../../sources/file.ts'
import type { HttpImageOptions } from '../../sources/http/image-options.ts'
import { createRangeReader } from '../../sources/http/range-reader.ts'

/** Kept in memory until disposal. */
const MOST_BYTES = 48 * MiB
/** Asked of a server by one node: a hundred may plan at the same time. */
const MOST_REQUESTS = 1024
const REQUEST_BYTES = MiB
/** What lies between two parts is fetched too where a request would cost more. */
const GAP_BYTES = 64 * KiB
const REQUESTS_AT_ONCE = 4

export interface FetchedParts extends AsyncDisposable {
  /** Fetches these. Throws TooMuchError beyond the bounds, and what keeps the server's answer away. */
  fetch(ranges: readonly FileRange[]): Promise<void>
  /** Of what was fetched; other bytes are fetched by themselves. */
  readonly read: ImageReader
}

/** What is asked for would be more than is worth the wait. */
export class TooMuchError extends Error {}

export interface FetchedPartsOptions {
  /** Of the server that answered first, or a file's. */
  readonly url: string
  readonly http: HttpImageOptions
  /** Length of the file, bytes. */
  readonly fileBytes: number
  /** The beginning of the file. */
  readonly firstBytes: Uint8Array
  readonly signal: AbortSignal
}

/** Opens the file, or asks the image's servers. Throws ImageDownloadError for a file that is not there. */
export async function openFetchedParts(options: FetchedPartsOptions): Promise<FetchedParts> {
  const { url, http, fileBytes, firstBytes, signal } = options
  if (url.startsWith('file:')) {
    const file = await openFileReader(url)
    const close = async () => await file[Symbol.asyncDispose]()
    return createParts({
      firstBytes,
      fill: file.read,
      mostRequests: Number.POSITIVE_INFINITY,
      close,
    })
  }
  const reader = createRangeReader({ ...http, totalBytes: fileBytes })
  return createParts({
    firstBytes,
    fill: (range, target) => reader.readRange(range, target, signal),
    mostRequests: MOST_REQUESTS,
    close: async () => undefined,
  })
}

interface PartsOptions {
  readonly firstBytes: Uint8Array
  readonly fill: (range: FileRange, target: Uint8Array) => Promise<unknown>
  readonly mostRequests: number
  readonly close: () => Promise<void>
}

function createParts({ firstBytes, fill, mostRequests, close }: PartsOptions): FetchedParts {
  /** By their offsets, ascending. */
  const parts = [{ offset: 0, bytes: firstBytes }]
  let askedBytes = 0
  let requests = 0

  const find = (range: FileRange): Uint8Array | undefined => {
    let low = 0
    let high = parts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((parts[middle]?.offset as number) <= range.offset) low = middle + 1
      else high = middle
    }
    const part = parts[low - 1]
    if (!part || endOf(range) > part.offset + part.bytes.length) return undefined
    return part.bytes.subarray(range.offset - part.offset, endOf(range) - part.offset)
  }
  const fetch = async (ranges: readonly FileRange[]) => {
    const wanted = together(ranges.filter((range) => range.length > 0 && !find(range)))
    requests += wanted.length
    askedBytes += wanted.reduce((sum, { length }) => sum + length, 0)
    if (requests > mostRequests || askedBytes > MOST_BYTES) {
      throw new TooMuchError(
        `they lie so that ${requests} requests bring ${askedBytes} bytes; at most are made ${mostRequests} for ${MOST_BYTES}`,
      )
    }
    const queue = wanted.values()
    const fetchNext = async () => {
      for (const range of queue) {
        const bytes = new Uint8Array(range.length)
        await fill(range, bytes)
        parts.push({ offset: range.offset, bytes })
      }
    }
    const ends = await Promise.allSettled(Array.from({ length: REQUESTS_AT_ONCE }, fetchNext))
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed) throw failed.reason
    parts.sort((a, b) => a.offset - b.offset)
  }
  return {
    fetch,
    read: async (range, target) => {
      if (!find(range)) await fetch([range])
      const found = find(range)
      if (!found) throw new RangeError(`bytes ${range.offset}+${range.length} were not fetched`)
      if (!target) return found.slice()
      target.set(found)
      return target
    },
    [Symbol.asyncDispose]: close,
  }
}

/** Neighbours as one range. */
function together(ranges: readonly FileRange[]): FileRange[] {
  const wanted: FileRange[] = []
  for (const range of [...ranges].sort((a, b) => a.offset - b.offset)) {
    const last = wanted.at(-1)
    const length = last ? Math.max(endOf(last), endOf(range)) - last.offset : 0
    if (last && range.offset - endOf(last) <= GAP_BYTES && length <= REQUEST_BYTES) {
      wanted[wanted.length - 1] = { offset: last.offset, length }
    } else {
      wanted.push(range)
    }
  }
  return wanted
}
