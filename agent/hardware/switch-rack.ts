// SPDX-License-Identifier: Apache-2.0
// Owns the question which switch this machine hangs at, as a name for its rack. Does not decide what a
// rack is for, and an operator's own name (swarm_rack) goes before this one.
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Exec } from '../system/exec.ts'
import { type LldpRequest, listenForLldp } from '../system/lldp/lldp.ts'
import { chassisName } from '../system/lldp/lldpdu.ts'
import { routeInterface } from '../system/net.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'

/** VLAN over bond over NIC, and one to spare. */
const MAX_DEPTH = 4

export interface SwitchRackRequest extends Pick<LldpRequest, 'silenceMs' | 'signal'> {
  /** Names or addresses, no brackets: the first with a route tells the interface. */
  readonly towards: readonly string[]
}

interface Deps {
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
}

/**
 * Listens on the interface that leads to the given hosts. Undefined where no switch tells; never throws.
 * Of the switches of a bond the first by name counts, so that all machines at them agree.
 */
export async function findSwitchRack(
  { towards, silenceMs, signal }: SwitchRackRequest,
  deps: Deps,
): Promise<string | undefined> {
  const name = await interfaceTowards(deps.exec, towards).catch(() => undefined)
  if (name === undefined) return undefined
  const interfaces = await realInterfaces(deps.root, name)
  const heard = await listenForLldp({ interfaces, silenceMs, signal }, deps)
  return [...(heard?.values() ?? [])].flatMap((tlvs) => chassisName(tlvs) ?? []).sort()[0]
}

async function interfaceTowards(exec: Exec, hosts: readonly string[]): Promise<string | undefined> {
  for (const host of hosts) {
    const addresses = isIP(host) ? [{ address: host }] : await lookup(host, { all: true })
    for (const { address } of addresses) {
      const found = await routeInterface(exec, address)
      if (found !== undefined && found !== 'lo') return found
    }
  }
  return undefined
}

/** A switch speaks to the NICs below a VLAN, a bond or a bridge (sysfs-class-net: `lower_*`). */
async function realInterfaces(root: Root, name: string, depth = 0): Promise<string[]> {
  const entries = await root.list(`/sys/class/net/${name}`)
  const lower = entries.flatMap((entry) => /^lower_(.+)$/.exec(entry)?.[1] ?? [])
  if (lower.length === 0 || depth === MAX_DEPTH) return [name]
  const below = await Promise.all(lower.map((each) => realInterfaces(root, each, depth + 1)))
  return [...new Set(below.flat())]
}
