// SPDX-License-Identifier: Apache-2.0
// Owns the original bytes of the image for those who ask after they were written: a source that checks
// pieces, peers that fetch them. Knows which bytes of the disk are no longer the image's.
import type { Coverage } from '../../core/coverage.ts'
import { AgentError } from '../../core/errors.ts'
import { type ByteRange, endOf, type ImageReader, intersect } from '../../core/extent.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { HeldBack } from '../../disk/hold-back.ts'

export interface OriginalImage {
  /** Rejects for bytes that are not on the disk (yet, or any more). */
  readonly read: ImageReader
  /** From now on reads go to this device; null: none can be read until the next call. */
  useDevice(device: BlockDevice | null): void
  /** The disk no longer holds the image's bytes here: partition table, config drive. */
  overwritten(range: ByteRange): void
  /** Resolves when the reads under way have ended: a device no longer in use may be closed. */
  settle(): Promise<void>
}

/**
 * Reads image bytes: held-back ranges from RAM, as they were sent, the others from the disk. Partition
 * tables that the disk got later differ from the image only within the held-back ranges.
 */
export function createOriginalImage(held: HeldBack, coverage: Coverage): OriginalImage {
  const lost: ByteRange[] = []
  const underWay = new Set<Promise<void>>()
  let device: BlockDevice | null = null

  const readDisk = async (range: ByteRange, target: Uint8Array) => {
    if (held.holds(range)) return
    if (!device || lost.some((other) => intersect(other, range))) throw gone(range)
    const reading = device.read(range.offset, target)
    const ended = reading.catch(() => undefined)
    underWay.add(ended)
    await reading.finally(() => underWay.delete(ended))
  }
  return {
    read: async (range, into) => {
      if (range.length < 0 || endOf(range) > coverage.totalBytes || !coverage.has(range)) {
        throw gone(range)
      }
      const target = into ?? new Uint8Array(range.length)
      await readDisk(range, target)
      held.overlay(range.offset, target)
      return target
    },
    useDevice: (next) => {
      device = next
    },
    overwritten: (range) => {
      lost.push(range)
    },
    settle: async () => {
      await Promise.all(underWay)
    },
  }
}

function gone(range: ByteRange): AgentError {
  return new AgentError(
    'BlockDeviceError',
    `image bytes ${range.offset}–${endOf(range) - 1} are not on the disk`,
    { kind: 'source' },
  )
}
