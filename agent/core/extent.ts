// SPDX-License-Identifier: Apache-2.0
// Owns the shapes that sources and disks share: byte ranges and extents in their two address spaces, pooled
// buffers, the sink. disk/ and sources/ meet only here; neither imports the other.

/** `length` bytes from `offset` on; both in bytes. For arithmetic that is the same in every address space. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** There is no such property: it keeps the two address spaces apart while types are checked. */
declare const space: unique symbol

/** Bytes of the file that is served: what os_hash_value and the torrent are of. */
export interface FileRange extends ByteRange {
  readonly [space]?: 'file'
}

/** Bytes of the target disk, counted from its first sector whatever part of it is written. */
export interface DiskRange extends ByteRange {
  readonly [space]?: 'disk'
}

/** Where the bytes of an extent came from, for the progress figures. */
export type ByteOrigin = 'origin' | 'peers' | 'file'

interface Extent {
  readonly offset: number
  readonly data: Uint8Array
  readonly from: ByteOrigin
  /** SHA-1 of `data` if the source has checked it: nobody need sum it up again. */
  readonly sha1?: Uint8Array
}

/** A run of bytes at its place in the file. */
export interface FileExtent extends Extent {
  readonly [space]?: 'file'
}

/** A run of bytes at its place on the disk. */
export interface DiskExtent extends Extent {
  readonly [space]?: 'disk'
}

/**
 * Takes extents in any order. The promise resolves when the bytes are on the device (or held back)
 * and `data` may be used again: awaiting it is the back-pressure.
 */
export interface ExtentSink<E extends FileExtent | DiskExtent> {
  write(extent: E): Promise<void>
}

export type FileSink = ExtentSink<FileExtent>
export type DiskSink = ExtentSink<DiskExtent>

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
 * Reads bytes of the file from the disk they were written to; rejects for bytes that are not there. A reader
 * may fill `target` (of the range's length) and return it, so that its caller can use one buffer over and
 * over: fresh ones are garbage that V8 lets grow by 64 MiB.
 */
export type ImageReader = (range: FileRange, target?: Uint8Array) => Promise<Uint8Array>

/** The first byte after the range. */
export function endOf(range: ByteRange): number {
  return range.offset + range.length
}

/** The range that an extent's bytes take. */
export function rangeOf(extent: FileExtent): FileRange
export function rangeOf(extent: DiskExtent): DiskRange
export function rangeOf({ offset, data }: Extent): ByteRange {
  return { offset, length: data.length }
}

/** The part both ranges of one address space share, or undefined. */
export function intersect(a: FileRange, b: FileRange): FileRange | undefined
export function intersect(a: DiskRange, b: DiskRange): DiskRange | undefined
export function intersect(a: ByteRange, b: ByteRange): ByteRange | undefined {
  const offset = Math.max(a.offset, b.offset)
  const end = Math.min(endOf(a), endOf(b))
  return end > offset ? { offset, length: end - offset } : undefined
}
