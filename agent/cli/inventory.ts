// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm inventory`: the hardware inventory as Ironic gets it (contract 6.1).
import type { Command } from 'commander'
import { loadMachine } from '../deploy/machine.ts'
import { type CommandLine, openContext } from './command-line.ts'

export async function runInventory(line: CommandLine, command: Command): Promise<void> {
  const { loaded, root, log } = await openContext(line, command, { reader: 'person' })
  const { events } = line
  await using hardware = await loadMachine({ config: loaded.config, root, log, events })
  const inventory = await hardware.dispatch('listHardwareInfo')
  line.stdout.write(`${JSON.stringify(inventory, null, 2)}\n`)
}
