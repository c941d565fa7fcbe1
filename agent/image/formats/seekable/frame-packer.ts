// SPDX-License-Identifier: Apache-2.0
// Owns packing a run of bytes into one frame of zstd, on a thread of Node's pool. Does not know where it goes.

import { promisify } from 'node:util'
import { constants, zstdCompress } from 'node:zlib'
import { SKIPPABLE_MAGIC } from '../compressed/zstd-frame.ts'
import { SKIPPABLE_HEADER_BYTES } from './seek-table.ts'

/** Packed once, unpacked by every node: docs/design/290-seekable-zstd.md has the figures. */
const LEVEL = 9
/** A frame that does not compress is longer than its bytes: three for each block of 128 KiB, header, checksum. */
const MOST_OVERHEAD_BYTES = 512

/** The bytes as one frame, which says its size and has a checksum. */
export type PackFrame = (bytes: Uint8Array) => Promise<Uint8Array>

/** @param chunkBytes the length of most runs: one of zeros is packed once */
export function createFramePacker(chunkBytes: number): PackFrame {
  const zeros = Buffer.alloc(chunkBytes)
  let zeroFrame: Promise<Uint8Array> | undefined
  return async (bytes) => {
    if (bytes.length !== chunkBytes || Buffer.compare(bytes, zeros) !== 0) return await pack(bytes)
    zeroFrame ??= pack(zeros)
    return await zeroFrame
  }
}

const compress = promisify(zstdCompress)

async function pack(bytes: Uint8Array): Promise<Uint8Array> {
  return await compress(bytes, {
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
    // the size goes into the header
    pledgedSrcSize: bytes.length,
    // all of it at once: else Node puts chunks together
    chunkSize: bytes.length + MOST_OVERHEAD_BYTES,
  })
}

/** A frame of zeros that decoders pass over (RFC 8878 §3.1.2), SKIPPABLE_HEADER_BYTES at least. */
export function paddingFrame(lengthBytes: number): Uint8Array {
  const frame = new Uint8Array(lengthBytes)
  const view = new DataView(frame.buffer)
  view.setUint32(0, SKIPPABLE_MAGIC, true)
  view.setUint32(4, lengthBytes - SKIPPABLE_HEADER_BYTES, true)
  return frame
}
