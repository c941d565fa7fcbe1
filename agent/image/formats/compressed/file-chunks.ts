// SPDX-License-Identifier: Apache-2.0
// Owns the file in its order: read where it is kept, one chunk ahead of who decodes it. Does not decode.
import { MiB } from '../../../core/units.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import type { FileChunk, Unpack, UnpackInOrder, UnpackRequest } from '../unpacker.ts'

/** Large enough that handing a chunk to a decoder costs nothing beside decoding it. */
const CHUNK_BYTES = MiB

/** Unpacks a file that is kept by reading it in its order. */
export function unpackKept(unpack: UnpackInOrder): Unpack {
  return ({ read, fileBytes, window, sink, signal }) => {
    const chunks = readInOrder({ read, fileBytes, signal })
    return unpack({ chunks, fileBytes, window, sink, signal })
  }
}

/** The whole file, from its beginning. Throws what `read` throws, or the reason of `signal`. */
async function* readInOrder({
  read,
  fileBytes,
  signal,
}: Pick<UnpackRequest, 'read' | 'fileBytes' | 'signal'>): AsyncGenerator<FileChunk, undefined> {
  const buffers = [allocateAligned(CHUNK_BYTES), allocateAligned(CHUNK_BYTES)]
  let turn = 0
  const readAt = async (offset: number): Promise<FileChunk> => {
    const buffer = buffers[turn++ % 2] as Uint8Array
    const target = buffer.subarray(0, Math.min(CHUNK_BYTES, fileBytes - offset))
    return { offset, bytes: await read({ offset, length: target.length }, target) }
  }
  let ahead = fileBytes > 0 ? readAt(0) : undefined
  while (ahead !== undefined) {
    const chunk = await ahead
    signal.throwIfAborted()
    const next = chunk.offset + chunk.bytes.length
    ahead = next < fileBytes ? readAt(next) : undefined
    // its failure is met when it is awaited
    ahead?.catch(() => undefined)
    yield chunk
  }
}
