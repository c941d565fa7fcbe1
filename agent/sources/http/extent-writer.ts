// SPDX-License-Identifier: Apache-2.0
// Owns the way from received bytes to the sink: one copy into pooled aligned buffers, several writes in
// flight, back-pressure when the pool is empty. Does not know where the bytes come from.
import {
  type BufferPool,
  type ByteOrigin,
  endOf,
  type FileRange,
  type FileSink,
  intersect,
  type PooledBuffer,
} from '../../core/extent.ts'
import { roundDown } from '../../core/units.ts'

export interface ExtentWriterOptions {
  readonly pool: BufferPool
  readonly sink: FileSink
  readonly from: ByteOrigin
  /** Called when bytes are in the sink. */
  readonly onWritten: (range: FileRange) => void
  /** Called when a full writer takes bytes again. */
  readonly onDrain: () => void
  /** Called once with the first error of sink or pool: nothing more will be written. */
  readonly onFailure: (error: unknown) => void
}

export interface ExtentWriter {
  /** Names what is to be written of the bytes to come: ascending, disjoint. Everything else is skipped. */
  want(ranges: readonly FileRange[]): void
  /** Takes bytes, which follow those of the last call. False asks the caller to wait for `onDrain`. */
  push(offset: number, bytes: Uint8Array): boolean
  /** Writes what was received, however little, and waits for all writes. Rejects with the sink's error. */
  finish(): Promise<void>
}

interface Filling {
  readonly buffer: PooledBuffer
  /** Image offset of the buffer's first byte: a multiple of the buffer size, so disk alignment is memory alignment. */
  readonly base: number
  readonly start: number
  /** Where the buffer or the wanted range ends. */
  readonly limit: number
  at: number
}

interface Spilled {
  readonly offset: number
  readonly bytes: Uint8Array
  readonly limit: number
}

/** A writer for one answer; `finish` must be called in any case. */
export function createExtentWriter(options: ExtentWriterOptions): ExtentWriter {
  const { pool, sink } = options
  const inFlight = new Set<Promise<void>>()
  const closing = new AbortController()
  let wanted: readonly FileRange[] = []
  let filling: Filling | undefined
  let spare: PooledBuffer | undefined
  let acquiring: Promise<void> | undefined
  /** Bytes that came when no buffer was free: at most what the parser still held when it was paused. */
  let spilled: Spilled[] = []
  let failure: { error: unknown } | undefined

  const fail = (error: unknown) => {
    if (failure) return
    failure = { error }
    options.onFailure(error)
  }
  /** The next buffer is fetched ahead, so that a full one costs no pause. */
  const acquire = () => {
    acquiring ??= pool
      .acquire(closing.signal)
      .then((buffer) => {
        spare = buffer
        acquiring = undefined
        const isFull = spilled.length > 0
        unspill()
        if (isFull && spilled.length === 0) options.onDrain()
      })
      .catch((error) => {
        acquiring = undefined
        if (!closing.signal.aborted) fail(error)
      })
  }
  const flush = () => {
    if (!filling) return
    const { buffer, base, start, at } = filling
    filling = undefined
    if (at === start) return buffer.release()
    const range = { offset: start, length: at - start }
    const extent = {
      offset: start,
      data: buffer.bytes.subarray(start - base, at - base),
      from: options.from,
    }
    const write = Promise.resolve()
      .then(() => sink.write(extent))
      .then(() => options.onWritten(range), fail)
      .finally(() => {
        buffer.release()
        inFlight.delete(write)
      })
    inFlight.add(write)
  }
  const begin = (offset: number, limit: number): Filling | undefined => {
    if (!spare) return undefined
    const base = roundDown(offset, pool.bufferBytes)
    const opened = {
      buffer: spare,
      base,
      start: offset,
      limit: Math.min(base + pool.bufferBytes, limit),
      at: offset,
    }
    spare = undefined
    acquire()
    return opened
  }
  /** Copies what fits; returns how many bytes. */
  const fill = (offset: number, bytes: Uint8Array, limit: number): number => {
    let done = 0
    while (done < bytes.length) {
      filling ??= begin(offset + done, limit)
      if (!filling) break
      const count = Math.min(bytes.length - done, filling.limit - filling.at)
      filling.buffer.bytes.set(bytes.subarray(done, done + count), filling.at - filling.base)
      filling.at += count
      done += count
      if (filling.at === filling.limit) flush()
    }
    return done
  }
  const unspill = () => {
    const waiting = spilled
    spilled = []
    for (const { offset, bytes, limit } of waiting) take(offset, bytes, limit, false)
  }
  const take = (offset: number, bytes: Uint8Array, limit: number, isBorrowed: boolean) => {
    const done = spilled.length > 0 ? 0 : fill(offset, bytes, limit)
    if (done === bytes.length) return
    const rest = bytes.subarray(done)
    spilled.push({ offset: offset + done, bytes: isBorrowed ? rest.slice() : rest, limit })
  }

  acquire()
  return {
    want: (ranges) => {
      wanted = ranges
    },
    push: (offset, bytes) => {
      if (failure) return true
      const received = { offset, length: bytes.length }
      for (const range of wanted) {
        if (range.offset >= offset + bytes.length) break
        const part = intersect(range, received)
        if (!part) continue
        const from = part.offset - offset
        take(part.offset, bytes.subarray(from, from + part.length), endOf(range), true)
      }
      return spilled.length === 0
    },
    finish: async () => {
      while (spilled.length > 0 && !failure) {
        acquire()
        await acquiring
      }
      flush()
      while (inFlight.size > 0) await Promise.all(inFlight)
      closing.abort()
      await acquiring
      spare?.release()
      spare = undefined
      if (failure) throw failure.error
    },
  }
}
