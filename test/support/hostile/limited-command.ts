// SPDX-License-Identifier: Apache-2.0
// Owns any command of the agent's program in a memory cgroup: `write`, `seed` and the like. The agent
// that serves Ironic is attacked-agent.ts's.
import { type ChildProcess, spawn } from 'node:child_process'
import { stopChild } from '../processes.ts'
import { AGENT_COMMAND } from '../under-test.ts'
import { createMemoryGroup, type MemoryGroup } from './memory-group.ts'
import { type ResidentSet, residentSetOf } from './resident-set.ts'

export interface LimitedCommand extends AsyncDisposable {
  readonly child: ChildProcess
  /** Exit code or signal, and stdout and stderr as they came. */
  readonly finished: Promise<{ readonly code: number | string; readonly output: string }>
  rss(): Promise<ResidentSet>
  oomKills(): Promise<number>
}

/**
 * Starts `ironswarm <argv>`.
 * @param limitBytes of the memory cgroup
 */
export async function startLimited(
  argv: readonly string[],
  limitBytes: number,
): Promise<LimitedCommand> {
  const group = await createMemoryGroup(limitBytes)
  const [command, ...words] = [...group.words, ...AGENT_COMMAND, ...argv] as [string, ...string[]]
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const finished = new Promise<{ code: number | string; output: string }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? 'unknown', output })),
  )
  return {
    child,
    finished,
    rss: () => residentSetOf(child.pid),
    oomKills: () => group.oomKills(),
    [Symbol.asyncDispose]: () => stop(child, group),
  }
}

async function stop(child: ChildProcess, group: MemoryGroup): Promise<void> {
  await stopChild(child)
  await group[Symbol.asyncDispose]()
}
