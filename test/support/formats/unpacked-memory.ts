// SPDX-License-Identifier: Apache-2.0
// Owns unpacking bytes in memory, with a disk that objects to what is written outside of the window, twice or
// not at all. Does not judge what the bytes are.
import { Coverage } from '../../../agent/core/coverage.ts'
import { type ByteRange, endOf, type ImageReader } from '../../../agent/core/extent.ts'
import type { KeptAt, Unpack, UnpackSink } from '../../../agent/image/formats/unpacker.ts'
import { LEFT_BEHIND } from './unpacked-file.ts'

/** Where no program finds the file: it lies in memory. */
export const NOWHERE: KeptAt = {
  path: '/nonexistent',
  isBlockDevice: false,
  range: { offset: 0, length: 0 },
}

/** Where the window of the disk begins. */
const WINDOW_AT = 4096

/** The unpacked image. Rejects with what `unpack` does, and with a plain Error for what no disk should see. */
export async function unpackInMemory(
  unpack: Unpack,
  file: Uint8Array,
  windowBytes: number,
  signal = new AbortController().signal,
): Promise<Uint8Array> {
  // made by the first write: most damaged files have none
  let disk: Uint8Array | undefined
  const coverage = new Coverage(windowBytes)
  const take = ({ offset, length }: ByteRange) => {
    const at = offset - WINDOW_AT
    if (length <= 0 || at < 0 || at + length > windowBytes) {
      throw new Error(`${length} bytes at ${at} are not inside of the window of ${windowBytes}`)
    }
    const before = coverage.coveredBytes
    coverage.add({ offset: at, length })
    if (coverage.coveredBytes < before + length) throw new Error(`bytes at ${at} are written twice`)
    disk ??= new Uint8Array(windowBytes).fill(LEFT_BEHIND)
    return disk.subarray(at, at + length)
  }
  const sink: UnpackSink = {
    write: async ({ offset, data }) => take({ offset, length: data.length }).set(data),
    zero: async (range) => void take(range).fill(0),
  }
  const read: ImageReader = async (range, target = new Uint8Array(range.length)) => {
    if (range.offset < 0 || endOf(range) > file.length) {
      throw new Error(`${range.length} bytes at ${range.offset} are not in the file`)
    }
    target.set(file.subarray(range.offset, endOf(range)))
    return target
  }
  const imageBytes = await unpack({
    read,
    keptAt: NOWHERE,
    virtualBytes: null,
    fileBytes: file.length,
    window: { offset: WINDOW_AT, length: windowBytes },
    sink,
    signal,
  })
  if (coverage.coveredBytes !== imageBytes || !coverage.has({ offset: 0, length: imageBytes })) {
    throw new Error(`of ${imageBytes} bytes only ${coverage.coveredBytes} were written`)
  }
  return (disk ?? new Uint8Array()).subarray(0, imageBytes)
}
