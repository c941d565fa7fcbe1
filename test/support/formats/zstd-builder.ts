// SPDX-License-Identifier: Apache-2.0
// Owns frames of zstd made byte by byte (RFC 8878 §3.1), also such as no packer makes. Does not compress.

const MAGIC = 0xfd2fb528
const RAW_BLOCK = 0
const RLE_BLOCK = 1
const HAS_CONTENT_SIZE = 0x80
export const CHECKSUM_FLAG = 0x04

export interface BuiltFrame {
  /** Blocks as they are; each up to 128 KiB. */
  readonly blocks: readonly (Uint8Array | { readonly byte: number; readonly times: number })[]
  /** The logarithm of the window; 17 unless given. */
  readonly windowLog?: number
  /** What the header says; left out it says nothing. */
  readonly contentBytes?: number
}

/** A frame of raw blocks and of blocks of one byte, without a checksum. */
export function buildFrame({ blocks, windowLog = 17, contentBytes }: BuiltFrame): Buffer {
  const head = Buffer.alloc(contentBytes === undefined ? 6 : 10)
  head.writeUInt32LE(MAGIC, 0)
  head.writeUInt8(contentBytes === undefined ? 0 : HAS_CONTENT_SIZE, 4)
  head.writeUInt8((windowLog - 10) << 3, 5)
  if (contentBytes !== undefined) head.writeUInt32LE(contentBytes, 6)
  const parts = blocks.map((block, index) => {
    const isLast = index === blocks.length - 1
    return 'byte' in block
      ? Buffer.concat([blockHeader(RLE_BLOCK, block.times, isLast), Buffer.from([block.byte])])
      : Buffer.concat([blockHeader(RAW_BLOCK, block.length, isLast), block])
  })
  return Buffer.concat([head, ...parts])
}

/** The same frame, saying that it holds another number of bytes; it must be one of zstdCompress with a size of 4 bytes. */
export function withContentSize(frame: Uint8Array, contentBytes: number): Buffer {
  const copy = Buffer.from(frame)
  const descriptor = copy.readUInt8(4)
  if (descriptor >> 6 !== 2) throw new Error(`the frame has descriptor ${descriptor.toString(16)}`)
  copy.writeUInt32LE(contentBytes, (descriptor & 0x20) === 0 ? 6 : 5)
  return copy
}

function blockHeader(type: number, bytes: number, isLast: boolean): Buffer {
  const header = Buffer.alloc(3)
  header.writeUIntLE(bytes * 8 + type * 2 + Number(isLast), 0, 3)
  return header
}
