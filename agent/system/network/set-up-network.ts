// SPDX-License-Identifier: Apache-2.0
// Owns giving the machine the network of network_data.json, before anything needs one: waits for its interfaces, runs `ip`,
// writes the name servers. Starts no DHCP client; the ramdisk does for the interfaces that are left to it.
import { rename, writeFile } from 'node:fs/promises'
import { sleep } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Exec } from '../exec.ts'
import { type IpCommand, missingLinks, type NetworkPlan, planNetwork } from './link-plan.ts'
import { listLinks } from './machine-links.ts'
import type { NetworkData } from './network-data.ts'

export interface NetworkDeps {
  readonly exec: Exec
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly signal: AbortSignal
}

/** For drivers of NICs, which come while the ramdisk starts. */
const LINKS_WAIT_MS = 30_000
const LINKS_POLL_MS = 500
/** The first VLAN and the first bond wait for their driver to be loaded. */
const IP_TIMEOUT_MS = 60_000

/** What would be done, once every link is there or 30 s are over. Throws ProcessError if `ip` cannot be run. */
export async function awaitNetworkPlan(data: NetworkData, deps: NetworkDeps): Promise<NetworkPlan> {
  const deadline = performance.now() + LINKS_WAIT_MS
  let links = await listLinks(deps.exec)
  while (missingLinks(data, links).length > 0 && performance.now() < deadline) {
    await sleep(LINKS_POLL_MS, deps.signal)
    links = await listLinks(deps.exec)
  }
  return planNetwork(data, links)
}

/**
 * Runs the plan. A command that fails is a warning and the others are run: half of a network may be the half that leads to
 * Ironic.
 * @returns true if every command did its work
 */
export async function applyNetworkPlan(
  plan: NetworkPlan,
  { exec, log, signal }: NetworkDeps,
): Promise<boolean> {
  let failures = 0
  for (const argv of plan.commands) {
    const name = interfaceThatComesUp(argv)
    if (name !== undefined && plan.deaf.includes(name)) await refuseAdvertisements(name)
    try {
      await exec(argv, { timeoutMs: IP_TIMEOUT_MS, signal })
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      failures += 1
      const err = new AgentError('ProcessError', `${argv.join(' ')}: ${messageOf(cause)}`, {
        cause,
      })
      log.warn({ err }, 'network')
    }
  }
  log.info({ commands: plan.commands.length, failures, claimed: plan.claimed }, 'network set up')
  return failures === 0
}

function interfaceThatComesUp(argv: IpCommand): string | undefined {
  return argv.at(-1) === 'up' ? argv.at(-2) : undefined
}

/** Before the kernel asks for them; a kernel without IPv6 has no such file. */
async function refuseAdvertisements(name: string): Promise<void> {
  await writeFile(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, '0').catch(() => undefined)
}

/** Whole or not at all, for whoever looks a name up meanwhile. */
export async function writeNameServers(path: string, plan: NetworkPlan): Promise<void> {
  const text = plan.nameServers.map((address) => `nameserver ${address}\n`).join('')
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}
