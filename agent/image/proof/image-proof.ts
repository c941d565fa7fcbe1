// SPDX-License-Identifier: Apache-2.0
// Owns the proof that the image is on the disk: what was sent is remembered, what is there is read back, and
// where the digest is wrong, whose fault it is. Does not bring bytes to the disk.
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { type DiskSink, endOf, type FileRange } from '../../core/extent.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { ProgressMeter } from '../../telemetry/progress-meter.ts'
import type { ExpectedHash } from '../request/checksum.ts'
import type { ImageOnDisk } from '../transfer/image-on-disk.ts'
import { createTrailingReadBack } from './trailing-read-back.ts'
import { createWriteJournal } from './write-journal.ts'

export interface ImageProofOptions {
  readonly image: ImageOnDisk
  readonly device: BlockDevice
  readonly hash: ExpectedHash
  /** Read the beginning back while the rest comes in. */
  readonly isTrailing: boolean
  readonly progress: ProgressMeter
}

/** Disposal ends its thread; the device must stay open until then. */
export interface ImageProof extends AsyncDisposable {
  /** The way to the disk, by way of the journal. */
  journaled(next: DiskSink): DiskSink
  /** More bytes of the file are on the disk. */
  covered(): void
  /** These bytes are about to be written again. */
  rewritten(range: FileRange): void
  /**
   * Every byte is on the medium: reads it back. Throws ImageChecksumError if the disk holds another image
   * than the expected one, ReadBackMismatchError if it does not hold what was sent, BlockDeviceError.
   * @param origin who delivered, for the message
   * @param besides what is read back at the same time and told as progress by who reads it
   */
  verify(origin: string, signal: AbortSignal, besides?: ReadBesides): Promise<void>
}

/** Bytes that are read back besides the file. */
export interface ReadBesides {
  readonly totalBytes: number
  readonly doneBytes: number
}

export function createImageProof(options: ImageProofOptions): ImageProof {
  const { image, device, hash, progress } = options
  const journal = createWriteJournal()
  const readBack = createTrailingReadBack({ ...options, algo: hash.algo })
  return {
    journaled: journal.sinkTo,
    covered: readBack.covered,
    rewritten: (range) => {
      readBack.rewritten(range)
      journal.forget(image.layout.locate(range))
    },
    verify: async (origin, signal, besides = { totalBytes: 0, doneBytes: 0 }) => {
      throwIfAborted(signal)
      const { totalBytes } = image.coverage
      const done = readBack.doneBytes + besides.doneBytes
      progress.begin('read-back', totalBytes + besides.totalBytes, { done })
      const found = await readBack.finish((bytes) => progress.add(bytes), signal)
      if (found === hash.value.toLowerCase()) return
      const facts =
        `${hash.algo} of ${device.geometry.path} bytes 0–${totalBytes - 1} is ${found}, ` +
        `image_info says ${hash.value}; source was ${origin}`
      const bad = await journal.findDifference(device, signal)
      throw bad ? badDisk(facts, bad.offset, endOf(bad)) : badImage(facts)
    },
    [Symbol.asyncDispose]: () => readBack[Symbol.asyncDispose](),
  }
}

function badDisk(facts: string, from: number, end: number): AgentError {
  return new AgentError(
    'ReadBackMismatchError',
    `${facts}. Bytes ${from}–${end - 1} do not read back as they were written: ` +
      'the disk or the path to it is suspect; see dmesg and SMART',
  )
}

function badImage(facts: string): AgentError {
  return new AgentError(
    'ImageChecksumError',
    `${facts}. The disk holds what the source sent, so the image there is not the one that was ` +
      'hashed: check os_hash_value and what the image urls serve',
  )
}
