// SPDX-License-Identifier: Apache-2.0
// Owns bringing what was written to the medium while more is written, so that the sync at the end is short, and a disk
// that cannot take it is found early. Does not read back.
import { MiB } from '../../core/units.ts'
import type { BlockDevice } from '../../disk/block-device.ts'

/** Written before the next sync begins; what is read back trails as far behind (proof/trailing-read-back.ts). */
const EVERY_BYTES = 64 * MiB

/**
 * The device, whose writes are followed by a sync now and then, one at a time; nobody waits for it. What one failed with
 * the next write throws, or the next sync: an fsync tells of an error once (fsync(2)).
 */
export function syncAlong(device: BlockDevice, everyBytes = EVERY_BYTES): BlockDevice {
  let unsyncedBytes = 0
  let syncing: Promise<void> | undefined
  let failure: { readonly error: unknown } | undefined
  const throwFailure = () => {
    if (failure) throw failure.error
  }
  const begin = () => {
    if (syncing || unsyncedBytes < everyBytes) return
    unsyncedBytes = 0
    syncing = device
      .sync()
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => {
        syncing = undefined
      })
  }
  return {
    ...device,
    write: async (offset, data) => {
      throwFailure()
      await device.write(offset, data)
      unsyncedBytes += data.length
      begin()
    },
    sync: async () => {
      await syncing
      throwFailure()
      await device.sync()
    },
  }
}
