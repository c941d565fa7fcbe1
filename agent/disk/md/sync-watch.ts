// SPDX-License-Identifier: Apache-2.0
// Owns that people are told of arrays that md brings in sync, which goes on beside whatever the agent does. Waits for
// none of them and changes nothing.
import type { EventPublisher, SyncingArray } from '../../core/events.ts'
import type { Root } from '../../system/root.ts'
import { blockDevicePath } from '../../system/sysfs.ts'
import { figuresOf } from '../../telemetry/progress-meter.ts'
import { readSync } from './sync.ts'

/** A resync takes minutes to days. */
const LOOK_MS = 5000
/** An event holds 512 values in all (telemetry/sealed-event.ts). */
const MOST_ARRAYS = 16

/** Looks until disposed of. Says nothing while all are at rest, but once that they are. */
export function watchArrays(
  events: EventPublisher,
  root: Root,
  { intervalMs = LOOK_MS } = {},
): Disposable {
  let told = 0
  let isLooking = false
  const look = async () => {
    if (isLooking) return
    isLooking = true
    const syncing = await syncingArrays(root).finally(() => {
      isLooking = false
    })
    if (syncing.length > 0 || told > 0) events.publish({ type: 'arrays', syncing })
    told = syncing.length
  }
  // a look that fails is one that comes later
  const lookOrNot = () => void look().catch(() => undefined)
  const timer = setInterval(lookOrNot, intervalMs)
  timer.unref()
  lookOrNot()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

async function syncingArrays(root: Root): Promise<SyncingArray[]> {
  const names = (await root.list('/sys/class/block')).filter((name) => /^md[\d_]/.test(name))
  const found: SyncingArray[] = []
  for (const name of names) {
    const sync = await readSync(root, name)
    if (sync === undefined) continue
    const { action, doneBytes: done, totalBytes: total, bytesPerSecond: ratePerSecond } = sync
    const figures = figuresOf({ unit: 'bytes', done, total, ratePerSecond })
    if (found.push({ array: blockDevicePath(name), action, figures }) === MOST_ARRAYS) break
  }
  return found
}
