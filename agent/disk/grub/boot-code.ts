// SPDX-License-Identifier: Apache-2.0
// Owns the boot code of a disk: the first bytes of its first sector, which BIOS starts. Does not write any itself.
import { messageOf } from '../../core/errors.ts'
import type { Root } from '../../system/root.ts'
import { type DiskBytes, openBlockDevice } from '../block-device.ts'
import { readSector } from '../partition-table/partitioner.ts'

/** Code ends where the disk identifier begins. */
const CODE_BYTES = 440

/** True where the first sector holds any code. */
export async function hasCode(device: DiskBytes): Promise<boolean> {
  return (await readSector(device, 0)).subarray(0, CODE_BYTES).some((byte) => byte !== 0)
}

/**
 * What puts the boot code of these disks back as it is at the time of the call; members of an array hold their disks
 * meanwhile. It tries all of them. Throws an AggregateError of those that failed.
 */
export async function keepBootCode(
  paths: readonly string[],
  root: Root,
): Promise<() => Promise<void>> {
  const kept = new Map<string, Uint8Array>()
  for (const path of paths) {
    await using device = await openBlockDevice(path, { mode: 'read', root })
    kept.set(path, (await readSector(device, 0)).slice(0, CODE_BYTES))
  }
  return async () => {
    const failures: unknown[] = []
    for (const [path, code] of kept) {
      try {
        await using device = await openBlockDevice(path, { mode: 'write-shared', root })
        await device.write(0, code)
        await device.sync()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(messageOf).join('; '))
  }
}
