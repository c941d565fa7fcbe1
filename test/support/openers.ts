// SPDX-License-Identifier: Apache-2.0
// Owns who has a device open, as /proc shows it. Does not say how, and does not change it.
import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** Programs that look through all disks of a machine, as mkfs.btrfs does, have each open for a moment. */
const LET_GO_MS = 10_000

/**
 * `pid/fd/number` of whoever has the device open. This process and what it has started count at once; others, who may
 * be of another test or left by a process that was killed, once they do not let go of it.
 */
export async function openersOf(path: string): Promise<string[]> {
  for (const end = performance.now() + LET_GO_MS; ; await delay(50)) {
    const openers = await openersNow(path)
    if (openers.length === 0 || performance.now() > end) return openers
    for (const opener of openers) if (await isOurs(opener.split('/')[0] ?? '')) return openers
  }
}

async function openersNow(path: string): Promise<string[]> {
  const openers: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const fd of fds) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
      if (target === path) openers.push(`${pid}/fd/${fd}`)
    }
  }
  return openers
}

/** Of this process or below it. */
async function isOurs(pid: string): Promise<boolean> {
  for (let at = pid; at !== '' && at !== '0'; at = await parentOf(at)) {
    if (at === String(process.pid)) return true
  }
  return false
}

/** Empty for a process that has ended. */
async function parentOf(pid: string): Promise<string> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return /^PPid:\s+(\d+)$/m.exec(status)?.[1] ?? ''
}
