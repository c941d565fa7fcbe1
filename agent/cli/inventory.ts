// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm inventory` and `ironswarm inspect`: what Ironic gets to know of this machine, as JSON
// (contract 6.1, 6.2). Posts nothing.
import type { Command } from 'commander'
import { loadMachine } from '../deploy/machine.ts'
import { collectInspection } from '../hardware/inspection/collect.ts'
import { exec } from '../system/exec.ts'
import { type CommandLine, openContext } from './command-line.ts'
import { openScreen } from './terminal/screen.ts'

export async function runInventory(line: CommandLine, command: Command): Promise<void> {
  const { loaded, root, log } = await openContext(line, command, { reader: 'person' })
  const { events } = line
  await using hardware = await loadMachine({ config: loaded.config, root, log, events })
  const inventory = await hardware.dispatch('listHardwareInfo')
  line.stdout.write(`${JSON.stringify(inventory, null, 2)}\n`)
}

/** Prints what there is also where a collector failed: `error` has its words, as Ironic gets them. */
export async function runInspect(line: CommandLine, command: Command): Promise<void> {
  using screen = openScreen(line, { isJson: true })
  const { loaded, root, log } = await openContext(line, command, {
    reader: 'person',
    tell: screen.warn,
  })
  const { config } = loaded
  const { events } = line
  await using hardware = await loadMachine({ config, root, log, events })
  const deps = { config, hardware, exec, root, log, now: line.now, ownLogs: () => [] }
  const { data } = await collectInspection(deps, line)
  line.stdout.write(`${JSON.stringify(data, null, 2)}\n`)
}
