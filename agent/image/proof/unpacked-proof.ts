// SPDX-License-Identifier: Apache-2.0
// Owns the second proof of an image that was unpacked: every byte that went to the disk reads back from it, zeros
// included, unless those that the disk itself made are only to be sampled. A sum per extent tells a disk that lost it;
// that the image is the right one, the hash of the file has told before. Does not write.
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, type DiskSink, endOf, rangeOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { MadeZero } from '../transfer/zeroes.ts'
import { createExtentSum, type ExtentSum, sumOf } from './extent-sum.ts'
import { inTurn } from './in-turn.ts'

/** Read at once; one such part is compared while others are read. */
const READ_BYTES = 2 * MiB
const BUFFERS = 4
/** Read this far behind what was written last: the disk's own cache has let go (docs/design/010-read-back.md). */
const LAG_BYTES = 64 * MiB
/** Of zeros, remembered as one: the first are read while the last are made. */
const ZEROS_BYTES = 32 * MiB
/** Of zeros that are sampled, one such part is read at both of its ends, of 64 KiB: the kernel asks for no more at once. */
const SAMPLED_BYTES = 16 * MiB
const SAMPLE_BYTES = 64 * 1024
/** Remembered at most; then writes wait until some have been read back. 25 MiB of memory. */
const MOST_ENTRIES = 256 * 1024

/** Disposal ends a reading under way; the device must stay open until then. */
export interface UnpackedProof extends AsyncDisposable {
  /** A sink that remembers what has passed it to `next`. Throws ReadBackMismatchError. */
  sinkTo(next: DiskSink): DiskSink
  /** These bytes were made zero. Throws ReadBackMismatchError. */
  zeroed(range: MadeZero): Promise<void>
  /** Bytes read back so far. */
  readonly doneBytes: number
  /** Bytes to be read back. */
  readonly totalBytes: number
  /** Everything is on the medium: reads what is left. Throws ReadBackMismatchError, BlockDeviceError. */
  finish(onProgress: (bytes: number) => void): Promise<void>
}

export interface UnpackedProofOptions {
  readonly device: Pick<BlockDevice, 'read' | 'sync' | 'geometry'>
  /** Read while the rest is still written. */
  readonly isTrailing: boolean
  /** Of zeros that the disk itself made: all of them are read, or samples. */
  readonly zeroesVerify: Config['zeroes_verify']
  /** What was synced before it is read from the disk after it, and not from the page cache. */
  readonly dropCache: () => Promise<void>
  readonly signal: AbortSignal
}

/** Zeros have no sum: they are compared. */
interface Entry extends DiskRange {
  readonly sum: number | undefined
}

/** What is read at once. */
interface Part extends DiskRange {
  readonly entry: Entry
}

export function createUnpackedProof(options: UnpackedProofOptions): UnpackedProof {
  const { device, isTrailing, signal } = options
  const buffers = Array.from({ length: BUFFERS }, () => allocateAligned(READ_BYTES))
  const zeros = Buffer.alloc(READ_BYTES)
  let entries: Entry[] = []
  /** Of `entries`, those before it have been read, or are being read. */
  let next = 0
  let orderedBytes = 0
  let totalBytes = 0
  let doneBytes = 0
  let reading: Promise<void> | undefined
  let isEnding = false
  let onProgress: (bytes: number) => void = () => undefined

  /** Of the entries that so many bytes were remembered after. */
  const partsBehind = function* (lagBytes: number): Generator<Part, undefined> {
    for (let entry = entries[next]; entry && !isEnding; entry = entries[next]) {
      if (totalBytes - orderedBytes - entry.length < lagBytes) return
      next += 1
      orderedBytes += entry.length
      for (const range of partsOfLength(entry, READ_BYTES)) yield { ...range, entry }
    }
  }
  const readPart = async (part: Part, slot: number) => {
    const bytes = (buffers[slot] as Uint8Array).subarray(0, part.length)
    await device.read(part.offset, bytes)
    return { part, bytes }
  }
  /** Of the entry whose parts are compared. */
  let sum: ExtentSum | undefined
  const compare = ({ entry, ...range }: Part, bytes: Uint8Array) => {
    if (entry.sum === undefined) {
      if (Buffer.compare(bytes, zeros.subarray(0, bytes.length)) !== 0) throw lost(device, entry)
      return
    }
    if (range.offset === entry.offset) sum = createExtentSum(entry.length)
    sum?.update(bytes)
    if (endOf(range) === endOf(entry) && sum?.value() !== entry.sum) throw lost(device, entry)
  }
  const readUpTo = async (lagBytes: number) => {
    const parts = partsBehind(lagBytes)
    const reads = new Set<Promise<unknown>>()
    const readNext = (slot: number) => {
      const part = parts.next().value
      if (!part) return undefined
      const read = readPart(part, slot)
      const forget = () => reads.delete(read)
      reads.add(read)
      read.then(forget, forget)
      return read
    }
    try {
      for await (const { part, bytes } of inTurn(BUFFERS, readNext)) {
        if (isEnding) return
        signal.throwIfAborted()
        compare(part, bytes)
        doneBytes += part.length
        onProgress(part.length)
      }
    } finally {
      // their buffers, and the device, are somebody else's afterwards
      await Promise.allSettled(reads)
    }
    // what was read is forgotten, now and then
    if (next < 1024 && next < entries.length) return
    entries = entries.slice(next)
    next = 0
  }
  /** One reading at a time. */
  const advance = async (lagBytes: number) => {
    while (reading !== undefined) await reading
    reading = readUpTo(lagBytes).finally(() => {
      reading = undefined
    })
    await reading
  }
  let trailing: Promise<void> | undefined
  let failure: { readonly error: unknown } | undefined
  const trail = () => {
    if (!isTrailing || trailing !== undefined || totalBytes - doneBytes < 2 * LAG_BYTES) return
    trailing = advance(LAG_BYTES)
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => {
        trailing = undefined
      })
  }
  const throwFailure = () => {
    if (failure) throw failure.error
  }
  const remember = async (entry: Entry) => {
    entries.push(entry)
    totalBytes += entry.length
    if (entries.length - next > MOST_ENTRIES) {
      await device.sync()
      await options.dropCache()
      // what was written last may lie in the disk's own cache
      await advance(LAG_BYTES)
    }
    trail()
  }
  return {
    sinkTo: (sink) => ({
      write: async (extent) => {
        throwFailure()
        const sum = sumOf(extent.data)
        await sink.write(extent)
        await remember({ ...rangeOf(extent), sum })
      },
    }),
    zeroed: async (range) => {
      throwFailure()
      const isSampled = range.isByDevice && options.zeroesVerify === 'sample'
      const parts = isSampled ? samplesOf(range) : partsOfLength(range, ZEROS_BYTES)
      for (const part of parts) await remember({ ...part, sum: undefined })
    },
    get doneBytes() {
      return doneBytes
    },
    get totalBytes() {
      return totalBytes
    },
    finish: async (progress) => {
      await trailing
      throwFailure()
      onProgress = progress
      await advance(0)
    },
    [Symbol.asyncDispose]: async () => {
      isEnding = true
      await trailing
      await reading?.catch(() => undefined)
    },
  }
}

function* partsOfLength(range: DiskRange, length: number): Generator<DiskRange> {
  for (let at = range.offset; at < endOf(range); at += length) {
    yield { offset: at, length: Math.min(length, endOf(range) - at) }
  }
}

function* samplesOf(range: DiskRange): Generator<DiskRange> {
  for (const part of partsOfLength(range, SAMPLED_BYTES)) {
    const isShort = part.length <= 2 * SAMPLE_BYTES
    yield isShort ? part : { offset: part.offset, length: SAMPLE_BYTES }
    if (!isShort) yield { offset: endOf(part) - SAMPLE_BYTES, length: SAMPLE_BYTES }
  }
}

function lost({ geometry }: UnpackedProofOptions['device'], range: DiskRange): AgentError {
  return new AgentError(
    'ReadBackMismatchError',
    `${geometry.path} bytes ${range.offset}–${endOf(range) - 1} do not read back as they were unpacked: the disk ` +
      'or the path to it is suspect; see dmesg and SMART',
  )
}
