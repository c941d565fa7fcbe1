// SPDX-License-Identifier: Apache-2.0
// Owns the leecher's side of the common start: a file says that it is ready, another one that all may
// begin, a third what came of it. Files work for programs in every language.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const LOOK_MS = 10

/** Set by run.ts for every leecher. */
function fileOf(variable: 'IW_READY' | 'IW_GATE' | 'IW_DONE'): string {
  const path = process.env[variable]
  if (path === undefined) throw new Error(`${variable} is not set`)
  return path
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
