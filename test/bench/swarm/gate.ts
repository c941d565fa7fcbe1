// SPDX-License-Identifier: Apache-2.0
// Owns the leecher's side of the common start: a file says that it is ready, another one that all may
// begin, a third what came of it. Files work for programs in every language.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

const LOOK_MS = 10

type Variable = 'IW_READY' | 'IW_GATE' | 'IW_DONE'

/** Set by run.ts for every leecher, and by it for its workers. */
function fileOf(variable: Variable): string {
  const path = process.env[variable] ?? getEnvironmentData(variable)
  if (typeof path !== 'string') throw new Error(`${variable} is not set`)
  return path
}

/** Lets the workers that this process starts find the gate: the agent gives its own no environment. */
export function tellWorkers(): void {
  for (const variable of ['IW_READY', 'IW_GATE'] as const) {
    setEnvironmentData(variable, fileOf(variable))
  }
}

export function noteReady(): void {
  writeFileSync(fileOf('IW_READY'), '')
}

export async function gateOpened(): Promise<void> {
  const gate = fileOf('IW_GATE')
  while (!existsSync(gate)) await delay(LOOK_MS)
}

/** What a leecher says when it has the whole image. */
export interface Result {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly duplicateBytes?: number
  readonly originBytes?: number
  readonly peerBytes?: number
  /** When the image was read back and its hash agreed. */
  readonly verifiedAt?: number
  /** Of the program, all threads, from its start to `at`: what it does afterwards is not counted. */
  readonly cpuSeconds?: number
}

export function noteDone(result: Result): void {
  const path = fileOf('IW_DONE')
  writeFileSync(`${path}.part`, JSON.stringify(result))
  renameSync(`${path}.part`, path)
}
