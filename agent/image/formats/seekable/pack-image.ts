// SPDX-License-Identifier: Apache-2.0
// Owns packing a raw image into a seekable zstd file for a swarm: read in order, packed on several threads, written
// piece by piece. Does not make the torrent, nor name files.
import { throwIfAborted } from '../../../core/deadline.ts'
import type { FileRange } from '../../../core/extent.ts'
import { KiB } from '../../../core/units.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import { createFramePacker, type PackFrame } from './frame-packer.ts'
import { chunkBytesOf, createPieceWriter } from './pieces.ts'

/** As many as Node's pool has threads: runs that are packed ahead of the one that is written. */
const AHEAD = 4
/** Runs that are packed to see how well the rest will do. */
const SAMPLES = 24
const SAMPLE_BYTES = 256 * KiB

/** Fills all of `target` from the offset of the range on. */
export type ReadRaw = (range: FileRange, target: Uint8Array) => Promise<void>

export interface PackImageOptions {
  readonly read: ReadRaw
  readonly imageBytes: number
  /** Of the torrent that will be made of the file. */
  readonly pieceLength: number
  /** Takes the file in its order; the bytes may not be kept. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly signal: AbortSignal
  /** Bytes of the image that are packed and written. */
  onProgress(doneBytes: number): void
}

/**
 * Resolves to the length of the file, bytes. Throws what `read` and `write` throw, CancelledError. Takes 16 MiB of
 * memory, the piece, and what four encoders take.
 */
export async function packImage(options: PackImageOptions): Promise<number> {
  const { imageBytes, pieceLength, signal } = options
  const chunkBytes = chunkBytesOf(pieceLength)
  const pack = createFramePacker(chunkBytes)
  const pieces = createPieceWriter({ pieceLength, pack, write: options.write })
  let doneBytes = 0
  for await (const { bytes, frame } of packedChunks(options, chunkBytes, pack)) {
    throwIfAborted(signal)
    await pieces.add(bytes, frame)
    doneBytes += bytes.length
    options.onProgress(doneBytes)
  }
  if (doneBytes !== imageBytes) throw new RangeError(`${doneBytes} of ${imageBytes} bytes packed`)
  return await pieces.finish()
}

/** About what the file will have, by runs from all over the image. Throws what `read` throws. */
export async function estimatePackedBytes(read: ReadRaw, imageBytes: number): Promise<number> {
  const length = Math.min(SAMPLE_BYTES, imageBytes)
  const pack = createFramePacker(length)
  const bytes = allocateAligned(length)
  let packedBytes = 0
  for (let sample = 0; sample < SAMPLES; sample++) {
    const offset = Math.floor(((imageBytes - length) * sample) / (SAMPLES - 1))
    await read({ offset, length }, bytes)
    packedBytes += (await pack(bytes)).length
  }
  return Math.ceil((packedBytes / (SAMPLES * length)) * imageBytes)
}

interface PackedChunk {
  /** Good until the next is asked for. */
  readonly bytes: Uint8Array
  readonly frame: Uint8Array
}

/** The whole image in order, some chunks ahead. */
async function* packedChunks(
  { read, imageBytes }: PackImageOptions,
  chunkBytes: number,
  pack: PackFrame,
): AsyncGenerator<PackedChunk, undefined> {
  const buffers = Array.from({ length: AHEAD + 1 }, () => allocateAligned(chunkBytes))
  const ahead: Promise<PackedChunk>[] = []
  let offset = 0
  let turn = 0
  const begin = () => {
    if (offset >= imageBytes) return
    const buffer = buffers[turn++ % buffers.length] as Uint8Array
    const range = { offset, length: Math.min(chunkBytes, imageBytes - offset) }
    const bytes = buffer.subarray(0, range.length)
    offset += range.length
    const packing = read(range, bytes).then(async () => ({ bytes, frame: await pack(bytes) }))
    // its failure is met when it is awaited
    packing.catch(() => undefined)
    ahead.push(packing)
  }
  try {
    for (let count = 0; count < AHEAD; count++) begin()
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      const chunk = await next
      yield chunk
      begin()
    }
  } finally {
    // nobody may close what they read before they have ended
    await Promise.allSettled(ahead)
  }
}
