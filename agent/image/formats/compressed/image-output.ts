// SPDX-License-Identifier: Apache-2.0
// Owns what comes out of a decoder on its way to the disk: collected in aligned buffers, runs of zeros told
// from the rest, nothing beyond the window. Does not write.
import { AgentError } from '../../../core/errors.ts'
import type { DiskRange, PooledBuffer } from '../../../core/extent.ts'
import { KiB, MiB } from '../../../core/units.ts'
import { createAlignedPool } from '../../../disk/aligned-pool.ts'
import type { UnpackSink } from '../unpacker.ts'

/** Handed to the sink at once. */
const BUFFER_BYTES = MiB
/** Filled, and on their way: as many as a disk takes at once, and one more. */
const BUFFERS = 5
/** What is looked at for zeros: smaller runs are written as they are. */
const GRAIN_BYTES = 64 * KiB

export interface ImageOutput {
  /** These bytes follow those before them; they may be used again afterwards. Throws what a sink has thrown. */
  push(bytes: Uint8Array): Promise<void>
  /** Resolves to the bytes of the image when all of them are with the sink. */
  finish(): Promise<number>
}

export interface ImageOutputOptions {
  readonly window: DiskRange
  readonly sink: UnpackSink
  /** What is unpacked, for messages. */
  readonly format: string
  readonly signal: AbortSignal
}

/** Throws InvalidImage for bytes for which the window has no room. */
export function createImageOutput({
  window,
  sink,
  format,
  signal,
}: ImageOutputOptions): ImageOutput {
  const pool = createAlignedPool({ bufferBytes: BUFFER_BYTES, count: BUFFERS })
  const zeros = Buffer.alloc(GRAIN_BYTES)
  const underWay = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  let current: PooledBuffer | undefined
  let filledBytes = 0
  let handedBytes = 0

  const send = async (buffer: Uint8Array, offset: number): Promise<void> => {
    for (const run of runsOf(buffer, zeros)) {
      const data = buffer.subarray(run.offset, run.offset + run.length)
      const at = offset + run.offset
      if (run.isZero) await sink.zero({ offset: at, length: run.length })
      else await sink.write({ offset: at, data, from: 'file' })
    }
  }
  const handOver = () => {
    if (!current) return
    const buffer = current
    const work = send(buffer.bytes.subarray(0, filledBytes), window.offset + handedBytes)
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => {
        buffer.release()
        underWay.delete(work)
      })
    underWay.add(work)
    handedBytes += filledBytes
    filledBytes = 0
    current = undefined
  }
  const throwFailure = () => {
    if (failure) throw failure.error
  }
  return {
    push: async (bytes) => {
      const madeBytes = handedBytes + filledBytes + bytes.length
      if (madeBytes > window.length) throw tooLarge(format, madeBytes, window)
      for (let at = 0; at < bytes.length; ) {
        throwFailure()
        current ??= await pool.acquire(signal)
        const taken = bytes.subarray(at, at + BUFFER_BYTES - filledBytes)
        current.bytes.set(taken, filledBytes)
        at += taken.length
        filledBytes += taken.length
        if (filledBytes === BUFFER_BYTES) handOver()
      }
    },
    finish: async () => {
      handOver()
      await Promise.all(underWay)
      throwFailure()
      return handedBytes
    },
  }
}

/** The grains of a buffer, neighbours of one kind together. */
function* runsOf(
  buffer: Uint8Array,
  zeros: Uint8Array,
): Generator<{ offset: number; length: number; isZero: boolean }> {
  let run = { offset: 0, length: 0, isZero: false }
  for (let at = 0; at < buffer.length; at += GRAIN_BYTES) {
    const grain = buffer.subarray(at, at + GRAIN_BYTES)
    // a short one at the end is written: it may end within a sector
    const isZero = grain.length === GRAIN_BYTES && Buffer.compare(grain, zeros) === 0
    if (isZero !== run.isZero) {
      if (run.length > 0) yield run
      run = { offset: at, length: 0, isZero }
    }
    run.length += grain.length
  }
  if (run.length > 0) yield run
}

function tooLarge(format: string, bytes: number, window: DiskRange): AgentError {
  return new AgentError(
    'InvalidImage',
    `the ${format} file holds an image of ${bytes} bytes or more; there is room for ${window.length} (a file that is ` +
      'kept until it is unpacked takes some too): choose a larger disk, or a larger root partition (root_gb)',
  )
}
