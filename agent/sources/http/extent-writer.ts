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
import { BufferAhead } from './buffer-ahead.ts'

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
  return new PooledExtentWriter(options)
}

class PooledExtentWriter implements ExtentWriter {
  readonly #options: ExtentWriterOptions
  readonly #next: BufferAhead
  readonly #inFlight = new Set<Promise<void>>()
  #wanted: readonly FileRange[] = []
  #filling: Filling | undefined
  /** Bytes that came when no buffer was free: at most what the parser still held when it was paused. */
  #spilled: Spilled[] = []
  #failure: { readonly error: unknown } | undefined

  constructor(options: ExtentWriterOptions) {
    this.#options = options
    this.#next = new BufferAhead({
      pool: options.pool,
      onBuffer: () => this.#unspill(),
      onFailure: (error) => this.#fail(error),
    })
  }

  want(ranges: readonly FileRange[]): void {
    this.#wanted = ranges
  }

  push(offset: number, bytes: Uint8Array): boolean {
    if (this.#failure) return true
    const received = { offset, length: bytes.length }
    for (const range of this.#wanted) {
      if (range.offset >= offset + bytes.length) break
      const part = intersect(range, received)
      if (!part) continue
      const from = part.offset - offset
      this.#take(part.offset, bytes.subarray(from, from + part.length), endOf(range), true)
    }
    return this.#spilled.length === 0
  }

  async finish(): Promise<void> {
    while (this.#spilled.length > 0 && !this.#failure) await this.#next.settled()
    this.#flush()
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight)
    await this.#next.close()
    if (this.#failure) throw this.#failure.error
  }

  #take(offset: number, bytes: Uint8Array, limit: number, isBorrowed: boolean): void {
    const done = this.#spilled.length > 0 ? 0 : this.#fill(offset, bytes, limit)
    if (done === bytes.length) return
    const rest = bytes.subarray(done)
    this.#spilled.push({ offset: offset + done, bytes: isBorrowed ? rest.slice() : rest, limit })
  }

  #unspill(): void {
    const waiting = this.#spilled
    if (waiting.length === 0) return
    this.#spilled = []
    for (const { offset, bytes, limit } of waiting) this.#take(offset, bytes, limit, false)
    if (this.#spilled.length === 0) this.#options.onDrain()
  }

  /** Copies what fits; returns how many bytes. */
  #fill(offset: number, bytes: Uint8Array, limit: number): number {
    let done = 0
    while (done < bytes.length) {
      this.#filling ??= this.#begin(offset + done, limit)
      const filling = this.#filling
      if (!filling) break
      const count = Math.min(bytes.length - done, filling.limit - filling.at)
      filling.buffer.bytes.set(bytes.subarray(done, done + count), filling.at - filling.base)
      filling.at += count
      done += count
      if (filling.at === filling.limit) this.#flush()
    }
    return done
  }

  #begin(offset: number, limit: number): Filling | undefined {
    const buffer = this.#next.take()
    if (!buffer) return undefined
    const { bufferBytes } = this.#options.pool
    const base = roundDown(offset, bufferBytes)
    return {
      buffer,
      base,
      start: offset,
      limit: Math.min(base + bufferBytes, limit),
      at: offset,
    }
  }

  #flush(): void {
    if (!this.#filling) return
    const { sink, from, onWritten } = this.#options
    const { buffer, base, start, at } = this.#filling
    this.#filling = undefined
    if (at === start) {
      buffer.release()
      return
    }
    const range = { offset: start, length: at - start }
    const data = buffer.bytes.subarray(start - base, at - base)
    const write = Promise.resolve()
      .then(() => sink.write({ offset: start, data, from }))
      .then(
        () => onWritten(range),
        (error) => this.#fail(error),
      )
      .finally(() => {
        buffer.release()
        this.#inFlight.delete(write)
      })
    this.#inFlight.add(write)
  }

  #fail(error: unknown): void {
    if (this.#failure) return
    this.#failure = { error }
    this.#options.onFailure(error)
  }
}
