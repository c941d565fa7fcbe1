// SPDX-License-Identifier: Apache-2.0
// Owns unpacking a file into another, as a disk would have it: what is not written shows. Does not judge the result.
import { open } from 'node:fs/promises'
import { endOf, type ImageReader } from '../../../agent/core/extent.ts'
import type { Unpack, UnpackSink } from '../../../agent/image/formats/unpacker.ts'

const MiB = 1024 * 1024
/** What lies on the disk before. */
export const LEFT_BEHIND = 0xa5

export interface UnpackedFile {
  /** What the unpacking resolved to. */
  readonly imageBytes: number
  /** Bytes that were handed over, both ways. */
  readonly writtenBytes: number
  readonly zeroedBytes: number
  readonly writes: number
  readonly zeros: number
}

export interface UnpackPlace {
  readonly offset: number
  readonly length: number
  /** Bytes of the file that is the disk; those after the window too. */
  readonly diskBytes: number
  readonly signal?: AbortSignal
}

/** Unpacks `source` into the window of a new file `target` that is full of LEFT_BEHIND. */
export async function unpackToFile(
  unpack: Unpack,
  source: string,
  target: string,
  { offset, length, diskBytes, signal = new AbortController().signal }: UnpackPlace,
): Promise<UnpackedFile> {
  await using file = await open(source)
  await using disk = await open(target, 'w+')
  const junk = Buffer.alloc(MiB, LEFT_BEHIND)
  for (let at = 0; at < diskBytes; at += MiB) {
    await disk.write(junk, 0, Math.min(MiB, diskBytes - at), at)
  }
  const count = { writtenBytes: 0, zeroedBytes: 0, writes: 0, zeros: 0 }
  const requireInside = (range: { offset: number; length: number }) => {
    if (range.length > 0 && range.offset >= offset && endOf(range) <= offset + length) return
    throw new Error(`${range.length} bytes at ${range.offset} are not inside of the window`)
  }
  const sink: UnpackSink = {
    write: async ({ offset: at, data }) => {
      requireInside({ offset: at, length: data.length })
      count.writes++
      count.writtenBytes += data.length
      await disk.write(data, 0, data.length, at)
    },
    zero: async (range) => {
      requireInside(range)
      count.zeros++
      count.zeroedBytes += range.length
      const zeros = Buffer.alloc(MiB)
      for (let at = range.offset; at < endOf(range); at += MiB) {
        await disk.write(zeros, 0, Math.min(MiB, endOf(range) - at), at)
      }
    },
  }
  const { size: fileBytes } = await file.stat()
  const imageBytes = await unpack({
    read: readerOf(file),
    keptAt: { path: source, isBlockDevice: false, range: { offset: 0, length: fileBytes } },
    fileBytes,
    virtualBytes: null,
    window: { offset, length },
    sink,
    signal,
  })
  return { imageBytes, ...count }
}

/** Rejects for bytes that the file has not, as the disk does. */
export function readerOf(file: Awaited<ReturnType<typeof open>>): ImageReader {
  return async ({ offset, length }, target = new Uint8Array(length)) => {
    const { bytesRead } = await file.read(target, 0, length, offset)
    if (bytesRead === length) return target
    throw new Error(`the file has no ${length} bytes at ${offset}`)
  }
}
