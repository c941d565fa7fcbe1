// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm run`: when the agent may begin, its configuration and its log. agent/daemon is the agent.
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { sleep } from '../core/deadline.ts'
import { MiB } from '../core/units.ts'
import { createRoot } from '../system/root.ts'
import { createRecentLines } from '../telemetry/recent-lines.ts'
import { type CommandLine, openContext, settingsOf } from './command-line.ts'

/** Longer than the ramdisk itself waits for devices and network together. */
const START_AFTER_WAIT_MS = 180_000
const START_AFTER_POLL_MS = 25

/**
 * Runs the agent until its signal aborts or the machine would power off.
 * @throws InvalidConfigError, LookupNodeError (the supervisor starts the process again), LookupAgentIPError
 */
export async function runRun(line: CommandLine, command: Command): Promise<void> {
  const recent = createRecentLines(MiB)
  const recentLog = () => recent.text()
  const agent = await line.loadAgent()
  const early = await earlySettings(line, command)
  using consoles = agent.openConsoles(line, early?.config.consoles ?? [], recentLog)
  using _machine = agent.watchMachine(line, createRoot(early?.config.os_root ?? '/'))
  await machineReady(line, command.getOptionValue('startAfter'))
  const context = await openContext(line, command, { reader: 'journal', copyTo: recent })
  for (const fields of consoles.notOpened) context.log.warn(fields, 'console not opened')
  await agent.run(line, context, recentLog, consoles)
}

/**
 * Somebody at the rack is to see that the network is waited for: consoles are opened before it is there, and with it the
 * settings of virtual media. Settings that are wrong are told of when they are read again.
 */
async function earlySettings(
  line: CommandLine,
  command: Command,
): Promise<LoadedConfig | undefined> {
  return await loadConfig(settingsOf(line, command)).catch(() => undefined)
}

/**
 * In a ramdisk the agent is loaded while devices and network come up; their settings, among them files of
 * virtual media, are read once the file of --start-after is there.
 */
async function machineReady({ signal, events }: CommandLine, path: unknown): Promise<void> {
  if (typeof path !== 'string') return
  events.publish({ type: 'phase', phase: 'waiting for the network' })
  const deadline = performance.now() + START_AFTER_WAIT_MS
  while (!existsSync(path) && performance.now() < deadline) await sleep(START_AFTER_POLL_MS, signal)
}
