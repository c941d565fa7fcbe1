// SPDX-License-Identifier: Apache-2.0
// Owns directories of third-party hardware managers for tests: files are written as people write them, and loaded by
// the agent's own code in real threads.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadCustomManagers } from '../../../../agent/hardware/custom/load.ts'
import { type Hardware, loadHardware } from '../../../../agent/hardware/dispatcher.ts'
import type { HardwareManager } from '../../../../agent/hardware/manager.ts'
import { exec } from '../../../../agent/system/exec.ts'
import { createEventStream, type EventStream } from '../../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'

/** Loading a thread takes seconds on a crowded machine; what hangs on purpose is given less. */
const TIMEOUT_MS = 50_000

export interface ManagerLab extends AsyncDisposable {
  readonly hardware: Hardware
  readonly events: EventStream
  readonly logLines: readonly string[]
  readonly folder: string
}

/**
 * The managers of these files, with those of `others` after them.
 * @param files text by name
 */
export async function loadManagers(
  files: Readonly<Record<string, string>>,
  { others = [], timeoutMs = TIMEOUT_MS, loadTimeoutMs = TIMEOUT_MS }: Partial<LabOptions> = {},
): Promise<ManagerLab> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-managers-'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const logLines: string[] = []
  const log = createLogger({
    level: 'debug',
    destination: { write: (line) => logLines.push(line) },
  })
  const events = createEventStream({ now: () => 0 })
  const deps = { exec, log, events, timeoutMs, loadTimeoutMs }
  const { managers, leftOut } = await loadCustomManagers(folder, deps)
  const hardware = await loadHardware([...managers, ...others], leftOut)
  return {
    hardware,
    events,
    logLines,
    folder,
    [Symbol.asyncDispose]: async () => {
      await hardware[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

interface LabOptions {
  readonly others: readonly HardwareManager[]
  readonly timeoutMs: number
  readonly loadTimeoutMs: number
}

/** A manager `acme` of support 3 in TypeScript. @param members of the object, besides name and version */
export function managerText(members: string, { name = 'acme', version = '1.0' } = {}): string {
  return `
export const apiVersion: number = 1
export const createHardwareManager = (agent: any) => ({
  name: '${name}',
  version: '${version}',
  evaluateHardwareSupport: () => 3,
  ${members}
})
`
}
