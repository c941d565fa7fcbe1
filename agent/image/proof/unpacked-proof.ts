// SPDX-License-Identifier: Apache-2.0
// Owns the second proof of an image that was unpacked: every byte that went to the disk reads back from it, zeros
// included, unless those that the disk itself made are only to be sampled. A CRC-32 per extent tells a disk that lost it; that the image is the right one, the hash of the file
// has told before. Does not write.
import { crc32 } from 'node:zlib'
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, type DiskSink, endOf, rangeOf } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { MadeZero } from '../transfer/zeroes.ts'

/** Read at once. */
const READ_BYTES = 4 * MiB
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
  readonly crc: number | undefined
}

export function createUnpackedProof(options: UnpackedProofOptions): UnpackedProof {
  const { device, isTrailing, signal } = options
  const buffers = [allocateAligned(READ_BYTES), allocateAligned(READ_BYTES)]
  const zeros = Buffer.alloc(READ_BYTES)
  let entries: Entry[] = []
  /** Of `entries`, those before it have been read. */
  let next = 0
  let totalBytes = 0
  let doneBytes = 0
  let reading: Promise<void> | undefined
  let isEnding = false
  let onProgress: (bytes: number) => void = () => undefined

  const readPart = async (range: DiskRange, turn: number): Promise<Uint8Array> => {
    const buffer = buffers[turn % 2] as Uint8Array
    const part = buffer.subarray(0, Math.min(READ_BYTES, range.length))
    await device.read(range.offset, part)
    return part
  }
  /** Each is good until the next one is asked for, which is read meanwhile. */
  const partsOf = async function* (range: DiskRange): AsyncGenerator<Uint8Array, void> {
    const partOf = (at: number, turn: number) =>
      at < endOf(range) ? readPart({ offset: at, length: endOf(range) - at }, turn) : undefined
    let turn = 0
    let ahead = partOf(range.offset, turn++)
    try {
      for (let at = range.offset; ahead; ) {
        const part: Uint8Array = await ahead
        at += part.length
        ahead = partOf(at, turn++)
        // met when it is awaited
        ahead?.catch(() => undefined)
        yield part
      }
    } finally {
      await ahead?.catch(() => undefined)
    }
  }
  const readEntry = async (entry: Entry) => {
    let crc = 0
    for await (const part of partsOf(entry)) {
      if (isEnding) return
      signal.throwIfAborted()
      if (entry.crc !== undefined) crc = crc32(part, crc)
      else if (Buffer.compare(part, zeros.subarray(0, part.length)) !== 0) throw lost(device, entry)
      doneBytes += part.length
      onProgress(part.length)
    }
    if (entry.crc !== undefined && entry.crc !== crc) throw lost(device, entry)
  }
  const readUpTo = async (lagBytes: number) => {
    while (next < entries.length && !isEnding) {
      const entry = entries[next] as Entry
      if (totalBytes - doneBytes - entry.length < lagBytes) break
      next += 1
      await readEntry(entry)
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
        const crc = crc32(extent.data)
        await sink.write(extent)
        await remember({ ...rangeOf(extent), crc })
      },
    }),
    zeroed: async (range) => {
      throwFailure()
      const isSampled = range.isByDevice && options.zeroesVerify === 'sample'
      const parts = isSampled ? samplesOf(range) : partsOfLength(range, ZEROS_BYTES)
      for (const part of parts) await remember({ ...part, crc: undefined })
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
