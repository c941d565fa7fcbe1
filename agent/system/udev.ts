// SPDX-License-Identifier: Apache-2.0
// Owns the conversation with udev and the kernel's view of partitions. Nothing of the byte path waits
// for either: partitions are reached by offset on the whole disk.
import type { Exec } from './exec.ts'

/** Longest wait for the event queue to drain, s. */
const SETTLE_SECONDS = 10
const REREAD_TIMEOUT_MS = 30_000

/** Waits until udev has worked off its queue. A ramdisk without udevd is settled. */
export async function settle(exec: Exec): Promise<void> {
  const argv = ['udevadm', 'settle', `--timeout=${SETTLE_SECONDS}`] as const
  await exec(argv, { timeoutMs: (SETTLE_SECONDS + 5) * 1000 }).catch(() => undefined)
}

/** udev's properties of a device node: ID_SERIAL, ID_WWN, DM_…; empty without udev. */
export async function readUdevProperties(
  exec: Exec,
  path: string,
): Promise<ReadonlyMap<string, string>> {
  try {
    const { stdout } = await exec(['udevadm', 'info', '--query=property', `--name=${path}`], {
      timeoutMs: 10_000,
    })
    return parseProperties(stdout)
  } catch {
    return new Map()
  }
}

/** Lines `KEY=value`; the value may hold further equal signs. */
export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  for (const line of text.split('\n')) {
    const at = line.indexOf('=')
    if (at > 0) properties.set(line.slice(0, at), line.slice(at + 1))
  }
  return properties
}

/**
 * Has the kernel read the partition table now on the disk, so that /dev/…p1 and /dev/disk/by-* appear. By
 * BLKRRPART, which a loop device without partitions refuses; BLKPG (partx) would give it some that outlive
 * its detaching. Throws ProcessError, also while a partition is in use.
 */
export async function rereadPartitions(exec: Exec, path: string): Promise<void> {
  await exec(['blockdev', '--rereadpt', path], { timeoutMs: REREAD_TIMEOUT_MS })
}
