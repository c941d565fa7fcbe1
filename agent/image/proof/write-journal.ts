// SPDX-License-Identifier: Apache-2.0
// Owns the memory of what was sent to the disk: a sum per extent, or the beginning of the SHA-1 that its source
// knows. When the read-back disagrees with the expected hash it tells a bad disk from a bad image. Proves nothing
// by itself.
import { createHash } from 'node:crypto'
import {
  type DiskExtent,
  type DiskRange,
  type DiskSink,
  endOf,
  intersect,
} from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import type { DiskBytes } from '../../disk/block-device.ts'
import { createExtentSum, sumOf } from './extent-sum.ts'

/** 1 TiB in extents of 1 MiB; 17 MiB of memory at most. Beyond it, nothing more is remembered. */
const MAX_ENTRIES = 1024 * 1024
const FIRST_ENTRIES = 1024
const READ_BYTES = 4 * MiB

interface Entry extends DiskRange {
  /** As extent-sum.ts has it, or the first four bytes of a SHA-1. */
  readonly sum: number
  readonly isSha1: boolean
}

export interface WriteJournal {
  /** A sink that remembers what has passed it to `next`. */
  sinkTo(next: DiskSink): DiskSink
  /** The first remembered range that reads otherwise than it was written; undefined if none does. */
  findDifference(device: DiskBytes, signal: AbortSignal): Promise<DiskRange | undefined>
  /** These bytes are about to change. */
  forget(ranges: readonly DiskRange[]): void
}

/** A journal that has seen nothing yet. */
export function createWriteJournal(): WriteJournal {
  const entries = new Entries()
  return {
    sinkTo: (next) => ({
      write: async (extent) => {
        const entry = entryOf(extent)
        await next.write(extent)
        entries.add(entry)
      },
    }),
    findDifference: async (device, signal) => {
      const buffer = allocateAligned(READ_BYTES)
      for (let index = 0; index < entries.count; index++) {
        signal.throwIfAborted()
        const entry = entries.at(index)
        if (!(await isOnDisk(device, entry, buffer))) {
          return { offset: entry.offset, length: entry.length }
        }
      }
      return undefined
    },
    forget: (ranges) => entries.remove(ranges),
  }
}

/** In columns: an image may come in 256 Ki pieces, and an object for each is 100 bytes. */
class Entries {
  count = 0
  #offsets = new Float64Array(FIRST_ENTRIES)
  #lengths = new Uint32Array(FIRST_ENTRIES)
  #sums = new Uint32Array(FIRST_ENTRIES)
  #areSha1 = new Uint8Array(FIRST_ENTRIES)

  at(index: number): Entry {
    return {
      offset: this.#offsets[index] as number,
      length: this.#lengths[index] as number,
      sum: this.#sums[index] as number,
      isSha1: this.#areSha1[index] === 1,
    }
  }

  add(entry: Entry): void {
    if (this.count === MAX_ENTRIES) return
    if (this.count === this.#offsets.length) this.#grow(2 * this.count)
    this.#put(this.count, entry)
    this.count += 1
  }

  /** All that share a byte with one of the ranges, which are disjoint. */
  remove(ranges: readonly DiskRange[]): void {
    const ascending = [...ranges].sort((a, b) => a.offset - b.offset)
    let kept = 0
    for (let index = 0; index < this.count; index++) {
      const entry = this.at(index)
      if (isIn(ascending, entry)) continue
      if (kept < index) this.#put(kept, entry)
      kept += 1
    }
    this.count = kept
  }

  #put(index: number, { offset, length, sum, isSha1 }: Entry): void {
    this.#offsets[index] = offset
    this.#lengths[index] = length
    this.#sums[index] = sum
    this.#areSha1[index] = Number(isSha1)
  }

  #grow(capacity: number): void {
    const grown = <T extends Float64Array | Uint32Array | Uint8Array>(into: T, from: T): T => {
      into.set(from)
      return into
    }
    this.#offsets = grown(new Float64Array(capacity), this.#offsets)
    this.#lengths = grown(new Uint32Array(capacity), this.#lengths)
    this.#sums = grown(new Uint32Array(capacity), this.#sums)
    this.#areSha1 = grown(new Uint8Array(capacity), this.#areSha1)
  }
}

function isIn(ascending: readonly DiskRange[], entry: DiskRange): boolean {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (endOf(ascending[middle] as DiskRange) <= entry.offset) low = middle + 1
    else high = middle
  }
  const first = ascending[low]
  return first !== undefined && intersect(first, entry) !== undefined
}

function entryOf({ offset, data, sha1 }: DiskExtent): Entry {
  const isSha1 = sha1 !== undefined
  // a piece's SHA-1 is known anyway: a quarter of a second per GiB is saved
  return { offset, length: data.length, sum: isSha1 ? headOf(sha1) : sumOf(data), isSha1 }
}

/** 32 bits tell a bad disk as well as those of other extents do. */
function headOf(sha1: Uint8Array): number {
  return new DataView(sha1.buffer, sha1.byteOffset).getUint32(0)
}

async function isOnDisk(device: DiskBytes, entry: Entry, buffer: Uint8Array): Promise<boolean> {
  const sum = entry.isSha1 ? createHash('sha1') : createExtentSum(entry.length)
  for (let done = 0; done < entry.length; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, entry.length - done))
    await device.read(entry.offset + done, part)
    sum.update(part)
  }
  return entry.sum === ('value' in sum ? sum.value() : headOf(sum.digest()))
}
