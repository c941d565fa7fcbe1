// SPDX-License-Identifier: Apache-2.0
// Owns what the recorded ironic-python-agent and this agent, run now, make of each recorded machine, told apart. Needs neither
// root nor a network: programs print again what they printed.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRoot } from '../../../agent/system/root.ts'
import { MACHINES } from './catalog.ts'
import { compareInspections, type KeyDifference } from './compare.ts'
import { inspectMachine, type OwnAnswer } from './inspect.ts'
import { readRecording, replayingExec } from './recording.ts'
import { layOut, type RecordedMachine, visibleFiles } from './tree.ts'

export interface MachineDifference extends KeyDifference {
  readonly machine: string
}

/** In the order of machines and keys. */
export async function replayedDifferences(): Promise<MachineDifference[]> {
  const found: MachineDifference[] = []
  for (const machine of MACHINES) {
    const { inspected, withoutBmc } = (await readRecording(machine)).pythonAgent
    const ours = await replayedInspection(machine)
    const differences = compareInspections({ inspected, withoutBmc }, ours)
    found.push(...differences.map((each) => ({ machine: machine.name, ...each })))
  }
  return found
}

export async function replayedInspection(machine: RecordedMachine): Promise<OwnAnswer> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-replayed-'))
  try {
    await layOut(visibleFiles(machine), folder)
    const exec = replayingExec(await readRecording(machine))
    return await inspectMachine(machine, { root: createRoot(folder), exec })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
