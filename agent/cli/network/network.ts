// SPDX-License-Identifier: Apache-2.0
// Owns `ironswarm network`: what the ramdisk does with network_data.json before it has a network. Does not parse and does
// not plan; system/network/ does.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AgentError } from '../../core/errors.ts'
import { exec } from '../../system/exec.ts'
import type { NetworkPlan } from '../../system/network/link-plan.ts'
import { parseNetworkData } from '../../system/network/network-data.ts'
import {
  applyNetworkPlan,
  awaitNetworkPlan,
  writeNameServers,
} from '../../system/network/set-up-network.ts'
import { bringUpVlans } from '../../system/network/vlans.ts'
import { type CommandLine, type Context, openContext } from '../command-line.ts'
import { readInputText } from '../input-file.ts'

/** The ramdisk asks while drivers of NICs still come. */
const VLAN_LINK_WAIT_MS = 10_000

/** @throws InvalidCommandParamsError, InvalidConfigError, ProcessError */
export async function runNetworkPlan(line: CommandLine, command: Command): Promise<void> {
  const plan = await planOf(line, command, await openContext(line, command, { reader: 'person' }))
  const lines = [
    ...plan.commands.map((argv) => argv.join(' ')),
    ...plan.nameServers.map((address) => `# nameserver ${address}`),
  ]
  for (const text of lines) line.stdout.write(`${text}\n`)
}

/** @throws InvalidCommandParamsError, InvalidConfigError; ProcessError where one of the commands failed, after all of them have run */
export async function runNetworkApply(line: CommandLine, command: Command): Promise<void> {
  const context = await openContext(line, command, { reader: 'person' })
  const plan = await planOf(line, command, context)
  const isDone = await applyNetworkPlan(plan, { exec, log: context.log, signal: line.signal })
  const resolvConf = command.getOptionValue('resolvConf')
  if (typeof resolvConf === 'string' && plan.nameServers.length > 0) {
    await writeNameServers(resolve(resolvConf), plan)
  }
  for (const name of plan.claimed) line.stdout.write(`${name}\n`)
  if (!isDone) {
    throw new AgentError(
      'ProcessError',
      'part of the network could not be set up; see the lines before',
    )
  }
}

/** @throws InvalidConfigError, ProcessError */
export async function runNetworkVlans(line: CommandLine, command: Command): Promise<void> {
  const { loaded, log } = await openContext(line, command, { reader: 'person' })
  const { enable_vlan_interfaces: wanted, lldp_timeout, run_dir: runDir } = loaded.config
  const names = await bringUpVlans(
    { wanted, lldpSilenceMs: lldp_timeout * 1000, linkWaitMs: VLAN_LINK_WAIT_MS, runDir },
    { exec, log, signal: line.signal },
  )
  for (const name of names) line.stdout.write(`${name}\n`)
}

async function planOf(line: CommandLine, command: Command, { log }: Context): Promise<NetworkPlan> {
  const path = resolve(String(command.getOptionValue('networkData')))
  const text = await readInputText(path, 'network_data.json')
  const plan = await awaitNetworkPlan(parseNetworkData(text), { exec, log, signal: line.signal })
  for (const warning of plan.warnings) log.warn({ warning }, 'network')
  return plan
}
