// SPDX-License-Identifier: Apache-2.0
// Owns the promise of the whole agent: from opening until `keep()`, whatever happens, the disk does not
// boot. Opens exclusively, erases old metadata, and erases again when the deploy fails.
import { sleep } from '../../core/deadline.ts'
import { isAgentError, messageOf } from '../../core/errors.ts'
import { type BlockDevice, type DiskBytes, openBlockDevice } from '../../disk/block-device.ts'
import { eraseMetadata } from '../../disk/partition-table/partitioner.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'

export interface TargetDisk extends AsyncDisposable {
  /** Open for writing, exclusively, until `release`. */
  readonly device: BlockDevice
  /** Gives up the exclusive claim, so that others may open the disk; disposal still erases. */
  release(): Promise<void>
  /** The deploy is good: disposal no longer erases. */
  keep(): void
}

export interface TargetDiskDeps {
  readonly root: Root
  readonly log: Logger
  /** Longest time of one transfer, ms (option disk_timeout); 0 for no limit. */
  readonly timeoutMs?: number
  /** Sees to it that nothing on the disk boots; eraseMetadata unless given. May be called again. */
  readonly disable?: (device: DiskBytes) => Promise<void>
  readonly onDisk?: DiskListener | undefined
}

/**
 * `touched`: it is open, and its first byte is about to be changed. `may boot`: after a failure nothing could be erased
 * any more, so that what is there is what the failure left.
 */
export type DiskListener = (heard: 'touched' | 'may boot') => void

/** Claims of others after `release` (udev probing) are short; the erasure waits for them. */
const REOPEN_ATTEMPTS = 20
const REOPEN_WAIT_MS = 250

/**
 * Opens the disk exclusively and erases its old metadata, so that nothing bootable is there from the
 * first moment on. Disposal without `keep()` erases again, and logs an error if it could not.
 * Throws TargetInUseError, DeviceNotFound, BlockDeviceError, ImageWriteError.
 */
export async function openTargetDisk(path: string, deps: TargetDiskDeps): Promise<TargetDisk> {
  const { disable = eraseMetadata } = deps
  const device = await openBlockDevice(path, { ...deps, mode: 'write' })
  let isOpen = true
  let isKept = false
  const release = async () => {
    if (!isOpen) return
    isOpen = false
    await device[Symbol.asyncDispose]()
  }
  const target: TargetDisk = {
    device,
    release,
    keep: () => {
      isKept = true
    },
    [Symbol.asyncDispose]: async () => {
      if (!isKept) await eraseAgain(path, isOpen ? device : undefined, deps)
      await release()
    },
  }
  try {
    deps.onDisk?.('touched')
    await disable(device)
    return target
  } catch (error) {
    await target[Symbol.asyncDispose]()
    throw error
  }
}

/** The failure that led here is the one to report; a disk that cannot be erased is logged beside it. */
async function eraseAgain(
  path: string,
  open: BlockDevice | undefined,
  deps: TargetDiskDeps,
): Promise<void> {
  try {
    const { disable = eraseMetadata } = deps
    if (open) return await disable(open)
    await using reopened = await reopen(path, deps)
    await disable(reopened)
  } catch (error) {
    deps.onDisk?.('may boot')
    deps.log.error(
      { device: path, err: error },
      'erasing after a failed deploy failed, the disk may boot',
    )
  }
}

async function reopen(path: string, deps: TargetDiskDeps): Promise<BlockDevice> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openBlockDevice(path, { ...deps, mode: 'write' })
    } catch (error) {
      if (!isAgentError(error, 'TargetInUseError') || attempt === REOPEN_ATTEMPTS) throw error
      deps.log.warn({ device: path, reason: messageOf(error) }, 'waiting to erase the disk')
      await sleep(REOPEN_WAIT_MS)
    }
  }
}
