// SPDX-License-Identifier: Apache-2.0
// Owns making a range of a disk read as zeros: by the device itself where it can write zeroes, else by writing
// them. Never by a discard, which promises nothing of what is read afterwards.
import { messageOf } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import { GiB, MiB, roundDown, roundUp } from '../../core/units.ts'
import { allocateAligned } from '../../disk/aligned-pool.ts'
import type { BlockDevice } from '../../disk/block-device.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceAt, readQueueNumber } from '../../system/sysfs.ts'
import type { Logger } from '../../telemetry/logger.ts'

export interface ZeroWriterDeps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info'>
  readonly signal: AbortSignal
}

/** A range that is zero now. */
export interface MadeZero extends DiskRange {
  /** By the disk itself: no zero went to it. */
  readonly isByDevice: boolean
}

/**
 * Makes a range zero; resolves to its parts, ascending. Throws ImageWriteError, or the reason of the signal.
 */
export type ZeroWriter = (range: DiskRange) => Promise<readonly MadeZero[]>

/** Shorter ranges are written: to start a program takes as long. */
const LEAST_FOR_DEVICE_BYTES = 16 * MiB
/** Asked of the device at once: it answers within the deadline of a transfer. */
const STEP_BYTES = GiB
const WRITE_BYTES = MiB

/**
 * Asks the kernel once what the device can do. A regular file that stands in for a disk has ranges of it
 * zeroed by its file system.
 */
export async function createZeroWriter(
  device: Pick<BlockDevice, 'geometry' | 'write' | 'timeoutMs'>,
  { exec, root, log, signal }: ZeroWriterDeps,
): Promise<ZeroWriter> {
  const { path, isBlockDevice, logicalSectorBytes } = device.geometry
  const zeros = allocateAligned(WRITE_BYTES)
  let isAble = !isBlockDevice || (await canWriteZeroes(root, path))

  const write = async (range: DiskRange): Promise<MadeZero> => {
    for (let at = range.offset; at < endOf(range); at += WRITE_BYTES) {
      signal.throwIfAborted()
      await device.write(at, zeros.subarray(0, Math.min(WRITE_BYTES, endOf(range) - at)))
    }
    return { ...range, isByDevice: false }
  }
  /** Both write zeros that are there, whatever becomes of the blocks below them (BLKZEROOUT, FALLOC_FL_ZERO_RANGE). */
  const ask = async ({ offset, length }: DiskRange) => {
    const program: [string, ...string[]] = isBlockDevice
      ? ['blkdiscard', '--zeroout', '--force']
      : ['fallocate', '--zero-range', '--keep-size']
    // this process has the disk for itself already: without --force blkdiscard would want that too
    const argv = [...program, '--offset', String(offset), '--length', String(length), path]
    await exec(argv as [string, ...string[]], {
      signal,
      ...(device.timeoutMs > 0 ? { timeoutMs: device.timeoutMs } : {}),
    })
  }
  const askOrWrite = async (step: DiskRange): Promise<MadeZero> => {
    if (!isAble) return await write(step)
    try {
      await ask(step)
      return { ...step, isByDevice: true }
    } catch (error) {
      signal.throwIfAborted()
      isAble = false
      log.info({ device: path, reason: messageOf(error) }, 'zeros are written instead')
      return await write(step)
    }
  }
  return async (range) => {
    const whole = inner(range, logicalSectorBytes)
    if (!isAble || whole.length < LEAST_FOR_DEVICE_BYTES) return [await write(range)]
    const made = [await write({ offset: range.offset, length: whole.offset - range.offset })]
    for (let at = whole.offset; at < endOf(whole); at += STEP_BYTES) {
      const step = { offset: at, length: Math.min(STEP_BYTES, endOf(whole) - at) }
      made.push(await askOrWrite(step))
    }
    made.push(await write({ offset: endOf(whole), length: endOf(range) - endOf(whole) }))
    return made.filter(({ length }) => length > 0)
  }
}

async function canWriteZeroes(root: Root, path: string): Promise<boolean> {
  const device = await blockDeviceAt(root, path)
  if (!device) return false
  return (await readQueueNumber(root, device, 'write_zeroes_max_bytes')) !== undefined
}

/** The whole sectors in a range; an empty range at its end for none. */
function inner(range: DiskRange, sectorBytes: number): DiskRange {
  const offset = Math.min(roundUp(range.offset, sectorBytes), endOf(range))
  return { offset, length: Math.max(0, roundDown(endOf(range), sectorBytes) - offset) }
}
