// SPDX-License-Identifier: Apache-2.0
// Owns the disk as it will be after the commit: writes to the boot ranges stay in RAM, others reach the
// disk. So partition tables are fixed and config drives added while nothing on the disk can boot yet.
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, endOf, rangeOf } from '../../core/extent.ts'
import type { DiskBytes } from '../../disk/block-device.ts'
import { createHeldBack, type HeldBack } from '../../disk/hold-back.ts'
import { bootRanges } from '../../disk/partition-table/partitioner.ts'

/** It has no file descriptor: whoever read by one would see the disk as it is, not as it will be. */
export interface StagedDevice extends DiskBytes {
  /**
   * Makes the disk what this device shows. Each step is fsynced before the next: what lies at the end,
   * the head but for its first sector, the first sector. That one is written whole or not at all, and
   * without it nothing boots. Throws ReadBackMismatchError if the disk then reads otherwise.
   */
  commit(): Promise<void>
}

/**
 * @param held the image's bytes in the boot ranges, and what else is held back; the rest of these is zero, as erased
 * @param onDirectWrite told of writes outside of the boot ranges: the image's bytes there are lost
 */
export function createStagedDevice(
  device: DiskBytes,
  held: HeldBack,
  onDirectWrite: (range: DiskRange) => void,
): StagedDevice {
  const staged = createHeldBack(stagedRanges(device, held))
  for (const { offset, bytes } of held.ranges) staged.take({ offset, data: bytes, from: 'file' })
  return {
    geometry: device.geometry,
    read: async (offset, target) => {
      if (!staged.holds({ offset, length: target.length })) await device.read(offset, target)
      staged.overlay(offset, target)
    },
    write: async (offset, data) => {
      requireInside(device, { offset, length: data.length })
      for (const part of staged.take({ offset, data, from: 'file' })) {
        onDirectWrite(rangeOf(part))
        await device.write(part.offset, part.data)
      }
    },
    sync: () => device.sync(),
    commit: () => commit(device, staged),
  }
}

/** The boot ranges, and what of the held-back ranges lies outside of them; disjoint, ascending. */
function stagedRanges({ geometry }: DiskBytes, held: HeldBack): DiskRange[] {
  const boot = bootRanges(geometry)
  const others = held.ranges.flatMap(({ offset, bytes }) => {
    const from = Math.max(offset, ...boot.filter((range) => range.offset <= offset).map(endOf))
    const to = Math.min(
      offset + bytes.length,
      ...boot.filter((range) => range.offset > offset).map((range) => range.offset),
    )
    return to > from ? [{ offset: from, length: to - from }] : []
  })
  return [...boot, ...others].sort((a, b) => a.offset - b.offset)
}

async function commit(device: DiskBytes, staged: HeldBack): Promise<void> {
  const { logicalSectorBytes } = device.geometry
  const [head, ...tails] = staged.ranges
  if (!head) return
  for (const { offset, bytes } of tails) await device.write(offset, bytes)
  await device.sync()
  await device.write(logicalSectorBytes, head.bytes.subarray(logicalSectorBytes))
  await device.sync()
  await device.write(0, head.bytes.subarray(0, logicalSectorBytes))
  await device.sync()
  for (const { offset, bytes } of staged.ranges) await requireSame(device, offset, bytes)
}

async function requireSame(device: DiskBytes, offset: number, bytes: Uint8Array): Promise<void> {
  const found = new Uint8Array(bytes.length)
  await device.read(offset, found)
  if (Buffer.compare(found, bytes) === 0) return
  throw new AgentError(
    'ReadBackMismatchError',
    `${device.geometry.path} bytes ${offset}–${offset + bytes.length - 1} do not read back as they ` +
      'were written; the disk or the path to it is suspect',
  )
}

function requireInside(device: DiskBytes, range: DiskRange): void {
  const { path, sizeBytes } = device.geometry
  if (range.offset >= 0 && endOf(range) <= sizeBytes) return
  throw new AgentError(
    'ImageWriteError',
    `write of ${range.length} bytes at offset ${range.offset} lies outside of ${path} (${sizeBytes} bytes)`,
  )
}
