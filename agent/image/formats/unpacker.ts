// SPDX-License-Identifier: Apache-2.0
// Owns the interface of a format that has to be unpacked: the file is read where it is kept, what it holds goes to the disk. Does not read, write or decode.
import type { DiskExtent, DiskRange, ImageReader } from '../../core/extent.ts'

/** Where what was unpacked goes. Awaiting is the back-pressure; `data` may be used again afterwards. */
export interface UnpackSink {
  write(extent: DiskExtent): Promise<void>
  /** These bytes are zero, and have to be zero on the disk. */
  zero(range: DiskRange): Promise<void>
}

/** Where the file lies: on a block device, or in a file. For programs that read it themselves. */
export interface KeptAt {
  readonly path: string
  readonly isBlockDevice: boolean
  readonly range: DiskRange
}

/** Bytes of the file from `offset` on. */
export interface FileChunk {
  readonly offset: number
  /** Good until the next chunk is asked for. */
  readonly bytes: Uint8Array
}

interface UnpackBase {
  readonly fileBytes: number
  /** Where the unpacked image goes; nothing is written outside of it. */
  readonly window: DiskRange
  readonly sink: UnpackSink
  readonly signal: AbortSignal
}

export interface UnpackRequest extends UnpackBase {
  /** Reads the verified file. */
  readonly read: ImageReader
  readonly keptAt: KeptAt
  /** Of the disk in it, as its judged header says; null where it does not. */
  readonly virtualBytes: number | null
}

/** Resolves to the bytes that the image takes of the window. Throws InvalidImage for what the format forbids or the window has no room for. */
export type Unpack = (request: UnpackRequest) => Promise<number>

/** For what is unpacked in one go from its beginning to its end, whether it is kept or still coming in. */
export interface UnpackInOrderRequest extends UnpackBase {
  /** The whole file, in its order. */
  readonly chunks: AsyncIterable<FileChunk>
}

/** As {@link Unpack}; also throws what `chunks` throws. */
export type UnpackInOrder = (request: UnpackInOrderRequest) => Promise<number>
