// SPDX-License-Identifier: Apache-2.0
// Owns how much memory a process really holds, as Linux counts it. Does not limit it; memory-group.ts does.
import { readFile } from 'node:fs/promises'

export interface ResidentSet {
  readonly nowBytes: number
  /** The most it ever was (VmHWM). */
  readonly peakBytes: number
}

/** Zeros once the process has gone. */
export async function residentSetOf(pid: number | undefined): Promise<ResidentSet> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const bytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
  return { nowBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') }
}
