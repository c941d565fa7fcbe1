// SPDX-License-Identifier: Apache-2.0
// Owns what `ip` has to do so that a machine has the network of network_data.json: an ordered list of commands. Runs none
// (set-up-network.ts does) and reads no file (network-data.ts does).
import { freeName, vlanName } from './interface-name.ts'
import { isInNetwork, isLinkLocalIpv6 } from './ip-network.ts'
import { isMadeOfOthers, type MachineLink } from './machine-links.ts'
import type { BondLink, Link, Network, NetworkData, Route, VlanLink } from './network-data.ts'

export type IpCommand = readonly ['ip', ...string[]]

export interface NetworkPlan {
  /** In their order. */
  readonly commands: readonly IpCommand[]
  /** Interfaces that take no router advertisements: a static IPv6 address is all that they have. */
  readonly deaf: readonly string[]
  /** Interfaces that no DHCP client may touch: those with static addresses alone, and members of bonds. */
  readonly claimed: readonly string[]
  readonly nameServers: readonly string[]
  /** What is left out, and why, as sentences. */
  readonly warnings: readonly string[]
}

/** Of the first default route; the ones after it are less wanted, in the order of the file. */
const FIRST_METRIC = 100

/** Links whose MAC address no interface has; waiting may help. */
export function missingLinks(data: NetworkData, machine: readonly MachineLink[]): Link[] {
  return data.links.filter(
    (link) => link.kind === 'physical' && interfaceOf(link, machine) === undefined,
  )
}

/** What of the data this machine can have. A link that it lacks is left out, with all that lies on it. */
export function planNetwork(data: NetworkData, machine: readonly MachineLink[]): NetworkPlan {
  const warnings = missingLinks(data, machine).map(
    ({ id, mac }) =>
      `link ${id} (${mac ?? 'without MAC address'}) is no interface of this machine; what lies on it is left out`,
  )
  const names = nameLinks(data.links, machine)
  const made = inOrder(data.links, names)
  for (const { id, kind } of data.links) {
    if (kind === 'physical' || made.some((link) => link.id === id)) continue
    warnings.push(`link ${id} is left out: it lies on what is missing, or on itself`)
  }
  const nameOf = (id: string) => (made.some((link) => link.id === id) ? names.get(id) : undefined)
  const networks = data.networks.flatMap((network) => {
    const name = nameOf(network.link)
    return name === undefined ? [] : [{ network, name }]
  })
  const fixed = networks.filter(({ network }) => network.method === 'static')
  const having = (method: Network['method'], wanted: string) =>
    networks.some(({ network, name }) => name === wanted && network.method === method)
  const alone = fixed.filter(({ name }) => !having('dhcp', name))
  const claimed = [
    ...alone.map(({ name }) => name),
    ...made.flatMap((link) => (link.kind === 'bond' ? membersOf(link, names) : [])),
  ]
  return {
    commands: [
      ...made.flatMap((link) => commandsOf(link, names)),
      ...fixed.flatMap(({ network, name }) => addressOf(network, name)),
      ...routesOf(fixed),
    ],
    deaf: unique(
      alone
        .filter(({ network, name }) => network.address?.family === 6 && !having('slaac', name))
        .map(({ name }) => name),
    ),
    claimed: unique(claimed),
    nameServers: data.nameServers,
    warnings,
  }
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)]
}

/** By its MAC address; where the file has none, by its id. */
function interfaceOf(link: Link, machine: readonly MachineLink[]): string | undefined {
  const own = machine.filter((candidate) => !isMadeOfOthers(candidate))
  return own.find(({ name, macs }) =>
    link.mac === null ? name === link.id : macs.includes(link.mac),
  )?.name
}

/** Names of interfaces by link id; of those that are to be made, names that nobody has. */
function nameLinks(links: readonly Link[], machine: readonly MachineLink[]): Map<string, string> {
  const names = new Map<string, string>()
  for (const link of links) {
    const name = link.kind === 'physical' ? interfaceOf(link, machine) : undefined
    if (name !== undefined) names.set(link.id, name)
  }
  const isTaken = (name: string) =>
    machine.some((other) => other.name === name) || [...names.values()].includes(name)
  for (const link of links) {
    if (link.kind === 'bond') names.set(link.id, freeName(link.id, { prefix: 'bond' }, isTaken))
  }
  // one VLAN on another comes after that
  let wanting = links.filter((link): link is VlanLink => link.kind === 'vlan')
  for (let before = -1; before !== wanting.length; ) {
    before = wanting.length
    wanting = wanting.filter((link) => {
      const parent = names.get(link.parent)
      if (parent === undefined) return true
      names.set(link.id, vlanName(parent, link.vlanId, isTaken))
      return false
    })
  }
  return names
}

/** Each after what it is made of; without those that lack something. */
function inOrder(links: readonly Link[], names: ReadonlyMap<string, string>): Link[] {
  const done: Link[] = []
  const isDone = (id: string) => done.some((link) => link.id === id)
  let waiting = links.filter(({ id }) => names.has(id))
  for (let before = -1; before !== waiting.length; ) {
    before = waiting.length
    waiting = waiting.filter((link) => {
      // a bond of which one member is there is a bond
      const isReady =
        link.kind === 'physical' ||
        (link.kind === 'vlan' ? isDone(link.parent) : link.members.some(isDone))
      if (isReady) done.push(link)
      return !isReady
    })
  }
  return [
    ...done.filter(({ kind }) => kind === 'physical'),
    ...done.filter(({ kind }) => kind !== 'physical'),
  ]
}

function membersOf(bond: BondLink, names: ReadonlyMap<string, string>): string[] {
  return bond.members.flatMap((id) => names.get(id) ?? [])
}

function commandsOf(link: Link, names: ReadonlyMap<string, string>): IpCommand[] {
  const name = names.get(link.id) as string
  const mtu: IpCommand[] =
    link.mtu === null ? [] : [['ip', 'link', 'set', 'dev', name, 'mtu', `${link.mtu}`]]
  const mac: IpCommand[] =
    link.mac === null ? [] : [['ip', 'link', 'set', 'dev', name, 'address', link.mac]]
  const up: IpCommand = ['ip', 'link', 'set', 'dev', name, 'up']
  if (link.kind === 'physical') return [...mtu, up]
  if (link.kind === 'bond') {
    return [bondCommand(link, name), ...mac, ...enslave(membersOf(link, names), name), ...mtu, up]
  }
  const parent = names.get(link.parent) as string
  const add = ['ip', 'link', 'add', 'link', parent, 'name', name] as const
  return [[...add, 'type', 'vlan', 'id', `${link.vlanId}`], ...mac, ...mtu, up]
}

function bondCommand(link: BondLink, name: string): IpCommand {
  const more = [
    ...['miimon', `${link.miimonMs}`],
    ...(link.xmitHashPolicy === null ? [] : ['xmit_hash_policy', link.xmitHashPolicy]),
    ...(link.lacpRate === null ? [] : ['lacp_rate', link.lacpRate]),
  ]
  return ['ip', 'link', 'add', 'name', name, 'type', 'bond', 'mode', link.mode, ...more]
}

/** A member has to be down when it comes (bonding.rst). */
function enslave(members: readonly string[], bond: string): IpCommand[] {
  return members.flatMap((member): IpCommand[] => [
    ['ip', 'link', 'set', 'dev', member, 'down'],
    ['ip', 'link', 'set', 'dev', member, 'master', bond],
    ['ip', 'link', 'set', 'dev', member, 'up'],
  ])
}

function addressOf({ address }: Network, name: string): IpCommand[] {
  if (address === undefined) return []
  const { ip, prefix, family } = address
  const broadcast = family === 4 && prefix < 31 ? ['broadcast', '+'] : []
  return [['ip', 'address', 'replace', `${ip}/${prefix}`, ...broadcast, 'dev', name]]
}

function routesOf(
  fixed: readonly { readonly network: Network; readonly name: string }[],
): IpCommand[] {
  let metric = FIRST_METRIC
  return fixed.flatMap(({ network, name }) =>
    network.routes.map((route): IpCommand => {
      const words = ['via', route.gateway, 'dev', name]
      const isDefault = route.prefix === 0
      if (isDefault) words.push('metric', `${metric++}`)
      if (!isOnLink(route, network)) words.push('onlink')
      const family = `-${route.family}`
      const target = isDefault ? 'default' : `${route.network}/${route.prefix}`
      return ['ip', family, 'route', 'replace', target, ...words]
    }),
  )
}

/** Where the gateway is of no network of the link, as with an address of /32, the kernel has to be told that it is there. */
function isOnLink({ gateway, family }: Route, { address }: Network): boolean {
  if (family === 6 && isLinkLocalIpv6(gateway)) return true
  return address !== undefined && isInNetwork(address.ip, address.prefix, gateway, family)
}
