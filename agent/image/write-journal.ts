// SPDX-License-Identifier: Apache-2.0
// Owns the memory of what was sent to the disk: a CRC-32 per extent. When the read-back disagrees with
// the expected hash it tells a bad disk from a bad image. Proves nothing by itself.
import { crc32 } from 'node:zlib'
import { type ByteRange, type ExtentSink, intersect } from '../core/extent.ts'
import { MiB } from '../core/units.ts'
import { allocateAligned } from '../disk/aligned-pool.ts'
import type { BlockDevice } from '../disk/block-device.ts'

/** 1 TiB in extents of 1 MiB; some 50 MiB of memory at most. Beyond it, nothing more is remembered. */
const MAX_ENTRIES = 1024 * 1024
const READ_BYTES = 4 * MiB

interface Entry extends ByteRange {
  readonly crc: number
}

export interface WriteJournal {
  /** Bytes that can be compared. */
  readonly rememberedBytes: number
  /** The first remembered range that reads otherwise than it was written; undefined if none does. */
  findDifference(device: BlockDevice, signal: AbortSignal): Promise<ByteRange | undefined>
  /** These bytes are about to change. */
  forget(range: ByteRange): void
}

/** A journal, and the sink that keeps it on the way to `next`. */
export function createWriteJournal(next: ExtentSink): { journal: WriteJournal; sink: ExtentSink } {
  let entries: Entry[] = []
  const journal: WriteJournal = {
    get rememberedBytes() {
      return entries.reduce((sum, { length }) => sum + length, 0)
    },
    findDifference: async (device, signal) => {
      const buffer = allocateAligned(READ_BYTES)
      for (const entry of entries) {
        signal.throwIfAborted()
        if ((await crcOnDisk(device, entry, buffer)) !== entry.crc) return entry
      }
      return undefined
    },
    forget: (range) => {
      entries = entries.filter((entry) => !intersect(entry, range))
    },
  }
  const sink: ExtentSink = {
    write: async (extent) => {
      const { offset, data } = extent
      const crc = crc32(data)
      await next.write(extent)
      if (entries.length < MAX_ENTRIES) entries.push({ offset, length: data.length, crc })
    },
  }
  return { journal, sink }
}

async function crcOnDisk(device: BlockDevice, range: ByteRange, buffer: Uint8Array) {
  let crc = 0
  for (let done = 0; done < range.length; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, range.length - done))
    await device.read(range.offset + done, part)
    crc = crc32(part, crc)
  }
  return crc
}
