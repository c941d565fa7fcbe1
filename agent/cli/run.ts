// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm run`: when the agent may begin, its configuration and its log. agent/daemon is the agent.
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { sleep } from '../core/deadline.ts'
import { MiB } from '../core/units.ts'
import { createRecentLines } from '../telemetry/recent-lines.ts'
import { type CommandLine, openContext } from './command-line.ts'

/** Longer than the ramdisk itself waits for devices and network together. */
const START_AFTER_WAIT_MS = 180_000
const START_AFTER_POLL_MS = 25

/**
 * Runs the agent until its signal aborts or the machine would power off.
 * @throws InvalidConfigError, LookupNodeError (the supervisor starts the process again), LookupAgentIPError
 */
export async function runRun(line: CommandLine, command: Command): Promise<void> {
  await machineReady(line, command.getOptionValue('startAfter'))
  const recent = createRecentLines(MiB)
  const context = await openContext(line, command, { reader: 'journal', copyTo: recent })
  const runAgent = await line.loadAgent()
  await runAgent(line, context, () => recent.text())
}

/**
 * In a ramdisk the agent is loaded while devices and network come up; their settings, among them files of
 * virtual media, are read once the file of --start-after is there.
 */
async function machineReady({ signal, loadAgent }: CommandLine, path: unknown): Promise<void> {
  if (typeof path !== 'string') return
  // what fails here fails again when it is needed, and is reported there
  await loadAgent().catch(() => undefined)
  const deadline = performance.now() + START_AFTER_WAIT_MS
  while (!existsSync(path) && performance.now() < deadline) await sleep(START_AFTER_POLL_MS, signal)
}
