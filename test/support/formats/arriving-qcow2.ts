// SPDX-License-Identifier: Apache-2.0
// Owns unpacking a qcow2 in the order of its file, as a deploy does it while it comes in: chunks of any size, each of
// which is overwritten when the next one is asked for. Does not judge the result.
import { mapArriving } from '../../../agent/image/formats/qcow2/arriving/map-arriving.ts'
import { unpackArrivingQcow2 } from '../../../agent/image/formats/qcow2/arriving/unpack-arriving.ts'
import type { FileChunk, Unpack, UnpackRequest } from '../../../agent/image/formats/unpacker.ts'

const MiB = 1024 * 1024

/** The size of the next chunk. */
export type ChunkSizes = (index: number) => number

/** An Unpack that reads nothing but tables, and the file from its beginning to its end. */
export function arrivingUnpack(chunkBytes: ChunkSizes = oddSizes): Unpack {
  return async (request) => {
    const clusters = await mapArriving(request)
    if ('why' in clusters) throw new Error(clusters.why)
    return await unpackArrivingQcow2(clusters)({
      ...request,
      chunks: chunksOf(request, chunkBytes),
    })
  }
}

/** From single bytes to more than a source brings at once. */
function oddSizes(index: number): number {
  return [1, 511, 65_537, 4 * MiB, 300_000, 7 * MiB, 4096][index % 7] as number
}

export async function* chunksOf(
  { read, fileBytes }: Pick<UnpackRequest, 'read' | 'fileBytes'>,
  chunkBytes: ChunkSizes,
): AsyncGenerator<FileChunk, void> {
  const memory = new Uint8Array(Math.min(8 * MiB, fileBytes))
  let index = 0
  for (let offset = 0; offset < fileBytes; ) {
    const length = Math.min(chunkBytes(index++), fileBytes - offset, memory.length)
    const bytes = memory.subarray(0, length)
    bytes.set(await read({ offset, length }))
    yield { offset, bytes }
    bytes.fill(0xee)
    offset += length
  }
}
