// SPDX-License-Identifier: Apache-2.0
// Owns what the kernel knows of a process and of the machine: CPU seconds and memory (proc(5)).
import { readFileSync } from 'node:fs'

/** CLK_TCK: 100 on every Linux. */
const TICKS_PER_SECOND = 100

export interface Usage {
  readonly cpuSeconds: number
  /** Peak so far. */
  readonly rssBytes: number
}

/** CPU of a process and of its children that have ended; undefined when it is gone. */
export function usageOf(pid: number): Usage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // the name in parentheses may hold spaces
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const peakKib = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0)
    return { cpuSeconds: ticks / TICKS_PER_SECOND, rssBytes: peakKib * 1024 }
  } catch {
    return undefined
  }
}

export interface MachineTicks {
  readonly busy: number
  readonly all: number
}

/** All cores since boot; the difference of two gives the busy share between them. */
export function machineTicks(): MachineTicks {
  const line = readFileSync('/proc/stat', 'utf8').split('\n')[0] as string
  const [user, nice, system, idle, iowait, irq, softirq, steal] = line
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number, number]
  const busy = user + nice + system + irq + softirq + steal
  return { busy, all: busy + idle + iowait }
}

/** Between 0 and 1. */
export function busyShare(from: MachineTicks, to: MachineTicks): number {
  return to.all > from.all ? (to.busy - from.busy) / (to.all - from.all) : 0
}
