// SPDX-License-Identifier: Apache-2.0
// Owns the read-back that begins while the image still comes in: far enough behind the writes that the
// disk's own cache has let go, and from the start again if written bytes change. Does not read by itself.
import { endOf, type FileRange } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { ImageOnDisk } from '../transfer/image-on-disk.ts'
import { createReadBack, type ReadBack } from './read-back.ts'

/** Bytes of the file are read this far behind the gapless beginning (docs/design/010-read-back.md). */
const LAG_BYTES = 64 * MiB
/** Ordered at once while trailing. */
const STEP_BYTES = 16 * MiB

export interface TrailingOptions {
  readonly device: BlockDevice
  readonly algo: string
  readonly image: Pick<ImageOnDisk, 'layout' | 'coverage' | 'held'>
  /** False: everything is read at the end, as on disks whose heads would have to move to and fro. */
  readonly isTrailing: boolean
}

export interface TrailingReadBack extends AsyncDisposable {
  /** More bytes are on the disk. */
  covered(): void
  /** These bytes are about to change; what was read of them no longer counts. */
  rewritten(range: FileRange): void
  /** Bytes read and hashed so far. */
  readonly doneBytes: number
  /**
   * Reads the rest. No write may be under way. The lower-case hex digest of the whole file; throws
   * BlockDeviceError, or the reason of `signal`.
   */
  finish(onProgress: (bytes: number) => void, signal: AbortSignal): Promise<string>
}

/** The device must stay open until disposal. */
export function createTrailingReadBack(options: TrailingOptions): TrailingReadBack {
  const { device, algo } = options
  const { layout, coverage, held } = options.image
  let onProgress: (bytes: number) => void = () => {}
  let current: ReadBack | undefined
  let ending: Promise<void> = Promise.resolve()

  const start = (): ReadBack =>
    createReadBack({ device, algo, layout, onProgress: (bytes) => onProgress(bytes) })
  // its thread takes a while to start, and is needed in any case
  if (options.isTrailing) current = start()
  const stop = () => {
    const old = current
    current = undefined
    ending = Promise.all([ending, old?.[Symbol.asyncDispose]()]).then(() => undefined)
  }
  return {
    get doneBytes() {
      return current?.doneBytes ?? 0
    },
    covered: () => {
      const toBytes = coverage.contiguousBytes - LAG_BYTES
      if (!options.isTrailing || toBytes < (current?.orderedBytes ?? 0) + STEP_BYTES) return
      current ??= start()
      current.advance(toBytes, held.ranges)
    },
    rewritten: (range) => {
      if (current && range.offset < Math.min(current.orderedBytes, endOf(range))) stop()
    },
    finish: async (progress, signal) => {
      onProgress = progress
      current ??= start()
      return await current.finish(coverage.totalBytes, held.ranges, signal)
    },
    [Symbol.asyncDispose]: async () => {
      stop()
      await ending
    },
  }
}
