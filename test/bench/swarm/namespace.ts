// SPDX-License-Identifier: Apache-2.0
// Owns network namespaces of benchmarks: made, and taken away with every program in them, also when the
// benchmark is interrupted or was killed earlier. Does not wire them up.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Ours are called iw-bench-PID-…, so that those of dead runs can be told. */
const PREFIX = 'iw-bench-'

export interface Namespace extends Disposable {
  readonly name: string
  /** The words that make a command run in it. */
  readonly on: readonly string[]
}

const open = new Set<string>()
let isWatching = false

/** A namespace with nothing but loopback. Needs root and iproute2. */
export function createNamespace(suffix: string): Namespace {
  watch()
  const name = `${PREFIX}${process.pid}-${suffix}`
  run('ip', 'netns', 'add', name)
  open.add(name)
  run('ip', '-n', name, 'link', 'set', 'lo', 'up')
  return {
    name,
    on: ['nsenter', `--net=/run/netns/${name}`, '--'],
    [Symbol.dispose]: () => remove(name),
  }
}

/** Runs a command to its end; throws with what it said. */
export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Once per process: clears up behind dead runs now, behind this one at its end. */
function watch(): void {
  if (isWatching) return
  isWatching = true
  process.once('exit', () => {
    for (const name of open) remove(name)
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(130))
  }
  for (const name of names()) {
    const pid = /^iw-bench-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isBench(pid)) remove(name)
  }
}

function remove(name: string): void {
  if (!names().includes(name)) return
  for (const pid of run('ip', 'netns', 'pids', name).split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // it has ended meanwhile
    }
  }
  run('ip', 'netns', 'delete', name)
  open.delete(name)
}

function names(): string[] {
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(PREFIX))
  } catch {
    return [] // none was ever made
  }
}

function isBench(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('bench')
  } catch {
    return false
  }
}
