// SPDX-License-Identifier: Apache-2.0
// Owns the memory of what was sent to the disk: a CRC-32 per extent, or the SHA-1 that its source knows.
// When the read-back disagrees with the expected hash it tells a bad disk from a bad image. Proves nothing
// by itself.
import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type DiskRange, type DiskSink, intersect, rangeOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import type { DiskBytes } from '../../disk/block-device.ts'

/** 1 TiB in extents of 1 MiB; some 50 MiB of memory at most. Beyond it, nothing more is remembered. */
const MAX_ENTRIES = 1024 * 1024
const READ_BYTES = 4 * MiB

interface Entry extends DiskRange {
  /** A CRC-32 or a SHA-1. */
  readonly sum: number | Uint8Array
}

export interface WriteJournal {
  /** A sink that remembers what has passed it to `next`. */
  sinkTo(next: DiskSink): DiskSink
  /** The first remembered range that reads otherwise than it was written; undefined if none does. */
  findDifference(device: DiskBytes, signal: AbortSignal): Promise<DiskRange | undefined>
  /** These bytes are about to change. */
  forget(range: DiskRange): void
}

/** A journal that has seen nothing yet. */
export function createWriteJournal(): WriteJournal {
  let entries: Entry[] = []
  return {
    sinkTo: (next) => ({
      write: async (extent) => {
        // a piece's SHA-1 lies in the metainfo anyway: a quarter of a second per GiB is saved
        const sum = extent.sha1 ?? crc32(extent.data)
        await next.write(extent)
        if (entries.length < MAX_ENTRIES) entries.push({ ...rangeOf(extent), sum })
      },
    }),
    findDifference: async (device, signal) => {
      const buffer = allocateAligned(READ_BYTES)
      for (const entry of entries) {
        signal.throwIfAborted()
        if (!(await isOnDisk(device, entry, buffer))) return entry
      }
      return undefined
    },
    forget: (range) => {
      entries = entries.filter((entry) => !intersect(entry, range))
    },
  }
}

async function isOnDisk(device: DiskBytes, entry: Entry, buffer: Uint8Array): Promise<boolean> {
  let crc = 0
  const sha1 = typeof entry.sum === 'number' ? undefined : createHash('sha1')
  for (let done = 0; done < entry.length; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, entry.length - done))
    await device.read(entry.offset + done, part)
    if (sha1 === undefined) crc = crc32(part, crc)
    else sha1.update(part)
  }
  return typeof entry.sum === 'number'
    ? crc === entry.sum
    : Buffer.compare(entry.sum, (sha1 as Hash).digest()) === 0
}
