// SPDX-License-Identifier: Apache-2.0
// Owns what md says of an array whose members do not hold the same yet (Documentation/admin-guide/md.rst). The one
// place where its words become figures. Does not wait for it.
import { KiB, SYSFS_SECTOR_BYTES } from '../../core/units.ts'
import type { Root } from '../../system/root.ts'
import { blockDeviceDirectory } from '../../system/sysfs.ts'

export interface Sync {
  /** `resync`, `recover`, `check`, `repair`, `reshape`. */
  readonly action: string
  /** 0 of 0 while it waits for another array of the same disks. */
  readonly doneBytes: number
  readonly totalBytes: number
  /** As the kernel measures it, over half a minute; 0 where it does not say. */
  readonly bytesPerSecond: number
}

const AT_REST = ['idle', 'frozen', 'none', '']

/** Undefined for an array at rest, and for what is none. @param name of the kernel, `md0` */
export async function readSync(root: Root, name: string): Promise<Sync | undefined> {
  const read = (file: string) => root.readText(`${blockDeviceDirectory(name)}/md/${file}`)
  const action = (await read('sync_action')) ?? ''
  if (AT_REST.includes(action)) return undefined
  const [completed = '', speed = ''] = await Promise.all([
    read('sync_completed'),
    read('sync_speed'),
  ])
  // sectors, `3072 / 1125376`; `none` and `delayed` are no figures
  const [, done = 0, total = 0] = (/^(\d+) \/ (\d+)$/.exec(completed) ?? []).map(Number)
  return {
    action,
    doneBytes: Math.min(done, total) * SYSFS_SECTOR_BYTES,
    totalBytes: total * SYSFS_SECTOR_BYTES,
    bytesPerSecond: (Number.parseInt(speed, 10) || 0) * KiB,
  }
}
