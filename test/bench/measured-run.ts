// SPDX-License-Identifier: Apache-2.0
// Owns measuring one program of a benchmark: wall time, CPU time of all its children, peak memory. Does not compare.
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Run {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakRssBytes: number
  readonly report?: Record<string, unknown>
}

/** Runs to the end: wall time, CPU of all children by the shell's `times`, peak of the summed RSS. */
export async function measure(child: ChildProcess): Promise<Run> {
  const startedAt = performance.now()
  const text = { stdout: '', times: '' }
  child.stdout?.on('data', (data) => (text.stdout += data))
  child.stdio[3]?.on('data', (data: Buffer) => (text.times += data))
  let peakRssBytes = 0
  const sampler = setInterval(() => {
    peakRssBytes = Math.max(peakRssBytes, largestRss(child.pid as number))
  }, 50)
  const code = await new Promise((done) => child.once('close', done))
  clearInterval(sampler)
  if (code !== 0) throw new Error(`${child.spawnargs.join(' ')} ended with ${code}\n${text.stdout}`)
  const lastLine = text.stdout.trim().split('\n').at(-1) ?? ''
  return {
    seconds: (performance.now() - startedAt) / 1000,
    cpuSeconds: childCpuSeconds(text.times),
    peakRssBytes,
    ...(lastLine.startsWith('{') ? { report: JSON.parse(lastLine) } : {}),
  }
}

/** `times` prints two lines: the shell's own, then its children's user and system time (bash(1)). */
function childCpuSeconds(times: string): number {
  const line = times.trim().split('\n').at(-1) ?? ''
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, match) => sum + Number(match[1]) * 60 + Number(match[2]),
    0,
  )
}

/** The largest peak RSS among a process and its children, bytes. */
function largestRss(pid: number): number {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return ''
    }
  }
  const own = Number(/VmHWM:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024
  const children = read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean)
  return Math.max(own, ...children.map((child) => largestRss(Number(child))))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}
