// SPDX-License-Identifier: Apache-2.0
// Owns small zstd files of every kind that is read, and where they hurt. Does not damage them.
import { constants, zstdCompressSync } from 'node:zlib'
import { encodeSeekTable } from '../../../agent/image/formats/seekable/seek-table.ts'
import { skippableFrame } from '../../support/formats/packed-image.ts'
import { buildFrame } from '../../support/formats/zstd-builder.ts'
import type { SmallImage } from './formats.ts'
import type { Field } from './mutate.ts'

const TEXT = Buffer.from(new Uint8Array(48 * 1024).map((_, at) => (at * at) >>> 7))

function packed(bytes: Uint8Array, level = 3): Buffer {
  return zstdCompressSync(bytes, {
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
    pledgedSrcSize: bytes.length,
  })
}

/** Offsets in a frame: magic, descriptor, window or size, the first blocks; and what is in plain blocks and skippable ones. */
const HEAD = [0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]
const BODY = Array.from({ length: 60 }, (_, i) => 24 + i)

function fieldsOf(frames: readonly Uint8Array[]): Field[] {
  let at = 0
  return frames.flatMap((frame) => {
    const begin = at
    at += frame.length
    const fields = [...HEAD, ...(isPlain(frame) ? BODY : [])].map((from) => field(begin + from, 1))
    const whole = [field(begin + 4, 4), field(begin + 6, 4), field(at - 4, 4), field(at - 9, 4)]
    const isInside = ({ offset, bytes }: Field) => offset >= begin && offset + bytes <= at
    return [...fields, ...whole].filter(isInside)
  })
}

/** A skippable frame, or one of raw blocks: other bytes in it are as good. */
function isPlain(frame: Uint8Array): boolean {
  return frame[0] !== 0x28 || frame[4] === 0
}

function field(offset: number, bytes: Field['bytes']): Field {
  return { offset, bytes, order: 'little' }
}

export function smallZstds(): readonly SmallImage[] {
  const raw = TEXT.subarray(0, 4096)
  const four = [packed(TEXT), packed(raw), packed(Buffer.alloc(8192)), packed(TEXT, 12)]
  const entry = (frame: Uint8Array, imageBytes: number) => ({ fileBytes: frame.length, imageBytes })
  const padding = skippableFrame(100)
  const kinds: Record<string, readonly Uint8Array[]> = {
    'a frame': [packed(TEXT)],
    'several frames': four,
    'skippable frames': [skippableFrame(0), packed(raw), skippableFrame(300, 15), packed(TEXT)],
    'a seek table': [
      packed(TEXT),
      padding,
      packed(raw),
      encodeSeekTable([
        entry(packed(TEXT), TEXT.length),
        entry(padding, 0),
        entry(packed(raw), raw.length),
      ]),
    ],
    'blocks that are not compressed': [
      buildFrame({ blocks: [raw, { byte: 7, times: 70_000 }, raw] }),
      buildFrame({ blocks: [{ byte: 0, times: 131_072 }], contentBytes: 131_072 }),
    ],
    'a window that is decoded as it is read': [
      packed(raw),
      buildFrame({ blocks: [raw, { byte: 1, times: 100 }], windowLog: 24 }),
      packed(raw),
    ],
  }
  return Object.entries(kinds).map(([name, frames]) => ({
    name,
    file: Buffer.concat(frames),
    fields: fieldsOf(frames),
  }))
}
