// SPDX-License-Identifier: Apache-2.0
// Owns what is known of the file on the disk while it comes in and afterwards: where its bytes lie, which
// are there, which are held back, which the disk has lost again. Reads them for a source that checks pieces
// and for peers that fetch them. Does not write.
import { Coverage } from '../../core/coverage.ts'
import { AgentError } from '../../core/errors.ts'
import {
  type DiskRange,
  endOf,
  type FileRange,
  type ImageReader,
  intersect,
} from '../../core/extent.ts'
import type { BlockDevice, DiskBytes } from '../../disk/block-device.ts'
import { createHeldBack, type HeldBack } from '../../disk/hold-back.ts'
import type { Layout } from '../formats/layout.ts'

export interface ImageOnDisk {
  readonly layout: Layout
  /** Of the file: on the disk or held back. */
  readonly coverage: Coverage
  /** Of the disk: in RAM, as they were sent, also after the disk has got others there. */
  readonly held: HeldBack
  /** Rejects for bytes that are not on the disk (yet, or any more). */
  readonly read: ImageReader
  /** From now on reads go to this device. */
  useDevice(device: Pick<BlockDevice, 'read'>): void
  /** The disk no longer holds the image's bytes here: partition table, config drive. */
  overwritten(range: DiskRange): void
  /** Resolves when the reads under way have ended: a device no longer in use may be closed. */
  settle(): Promise<void>
}

export interface ImageOnDiskOptions {
  readonly sizeBytes: number
  readonly layout: Layout
  /** Disjoint, ascending. */
  readonly holdBack: readonly DiskRange[]
}

/** An image of which nothing is there yet. Only held-back bytes can be read before `useDevice`. */
export function createImageOnDisk({
  sizeBytes,
  layout,
  holdBack,
}: ImageOnDiskOptions): ImageOnDisk {
  const coverage = new Coverage(sizeBytes)
  const held = createHeldBack(holdBack)
  const lost: DiskRange[] = []
  const underWay = new Set<Promise<void>>()
  let device: Pick<DiskBytes, 'read'> | undefined

  const readDisk = async (range: DiskRange, target: Uint8Array): Promise<boolean> => {
    if (held.holds(range)) return true
    if (!device || lost.some((other) => intersect(other, range))) return false
    const reading = device.read(range.offset, target)
    const ended = reading.catch(() => undefined)
    underWay.add(ended)
    await reading.finally(() => underWay.delete(ended))
    return true
  }
  const read: ImageReader = async (range, into) => {
    if (range.length < 0 || endOf(range) > sizeBytes || !coverage.has(range)) throw gone(range)
    const target = into ?? new Uint8Array(range.length)
    let at = 0
    for (const part of layout.locate(range)) {
      const bytes = target.subarray(at, at + part.length)
      if (!(await readDisk(part, bytes))) throw gone(range)
      held.overlay(part.offset, bytes)
      at += part.length
    }
    return target
  }
  return {
    layout,
    coverage,
    held,
    read,
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

function gone(range: FileRange): AgentError {
  return new AgentError(
    'BlockDeviceError',
    `image bytes ${range.offset}–${endOf(range) - 1} are not on the disk`,
    { kind: 'source' },
  )
}
