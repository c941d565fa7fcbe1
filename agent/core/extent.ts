// SPDX-License-Identifier: Apache-2.0
// Owns the shapes that sources and disks share: byte ranges, extents, pooled buffers, the sink.
// disk/ and sources/ meet only here; neither imports the other.

/** `length` bytes from `offset` on; both in bytes. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** Where the bytes of an extent came from, for the progress figures. */
export type ByteOrigin = 'origin' | 'peers' | 'file'

/** A run of image bytes at its place in the image, which is its place on the disk. */
export interface Extent {
  readonly offset: number
  readonly data: Uint8Array
  readonly from: ByteOrigin
  /** SHA-1 of `data` if the source has checked it: nobody need sum it up again. */
  readonly sha1?: Uint8Array
}

/**
 * Takes extents in any order. The promise resolves when the bytes are on the device (or held back)
 * and `data` may be used again: awaiting it is the back-pressure.
 */
export interface ExtentSink {
  write(extent: Extent): Promise<void>
}

/** A page-aligned buffer of a pool; `bytes` keeps its alignment at multiples of the sector size. */
export interface PooledBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>
  release(): void
}

/** A bounded set of page-aligned buffers: the only memory image bytes pass through. */
export interface BufferPool {
  /** Size of each buffer, bytes. */
  readonly bufferBytes: number
  /** Waits until a buffer is free; rejects with the reason of `signal`. */
  acquire(signal?: AbortSignal): Promise<PooledBuffer>
}

/**
 * Reads image bytes that are already on the disk; rejects for bytes that are not. A reader may fill
 * `target` (of the range's length) and return it, so that its caller can use one buffer over and over:
 * fresh ones are garbage that V8 lets grow by 64 MiB.
 */
export type ImageReader = (range: ByteRange, target?: Uint8Array) => Promise<Uint8Array>

/** The first byte after the range. */
export function endOf(range: ByteRange): number {
  return range.offset + range.length
}

/** The part both ranges share, or undefined. */
export function intersect(a: ByteRange, b: ByteRange): ByteRange | undefined {
  const offset = Math.max(a.offset, b.offset)
  const end = Math.min(endOf(a), endOf(b))
  return end > offset ? { offset, length: end - offset } : undefined
}
