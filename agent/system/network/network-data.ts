// SPDX-License-Identifier: Apache-2.0
// Owns reading network_data.json, the static network of a config drive as OpenStack writes it (nova's layout, which Ironic
// checks by api/controllers/v1/network-data-schema.json). Touches no interface and does not know the machine's (link-plan.ts).
import { AgentError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { type Family, familyOf, prefixOfNetmask } from './ip-network.ts'

export interface NetworkData {
  readonly links: readonly Link[]
  readonly networks: readonly Network[]
  /** Addresses of name servers, each once, in their order. */
  readonly nameServers: readonly string[]
}

interface AnyLink {
  readonly id: string
  /** Lower case with colons; null where none is set. */
  readonly mac: string | null
  readonly mtu: number | null
}

export type Link = PhysicalLink | BondLink | VlanLink

export interface PhysicalLink extends AnyLink {
  readonly kind: 'physical'
}

export interface BondLink extends AnyLink {
  readonly kind: 'bond'
  readonly mode: string
  /** Ids of other links. */
  readonly members: readonly string[]
  readonly miimonMs: number
  readonly xmitHashPolicy: string | null
  readonly lacpRate: string | null
}

export interface VlanLink extends AnyLink {
  readonly kind: 'vlan'
  readonly vlanId: number
  /** Id of the link it lies on. */
  readonly parent: string
}

export interface Network {
  /** Id of its link. */
  readonly link: string
  /** `dhcp` by a client for either family, `slaac` by the kernel. */
  readonly method: 'static' | 'dhcp' | 'slaac'
  /** Of a static one. */
  readonly address:
    | { readonly ip: string; readonly prefix: number; readonly family: Family }
    | undefined
  readonly routes: readonly Route[]
}

export interface Route {
  readonly network: string
  readonly prefix: number
  readonly gateway: string
  readonly family: Family
}

const MOST_BYTES = 1024 * 1024
/** Of links, of networks, of the routes of one network. */
const MOST_ITEMS = 512
/** Smallest datagram that every IPv4 link carries (RFC 791), and what Linux lets an Ethernet interface have. */
const MTU = { min: 68, max: 65_535 }
const BOND_MODES = [
  'balance-rr',
  'active-backup',
  'balance-xor',
  'broadcast',
  '802.3ad',
  'balance-tlb',
  'balance-alb',
]
const HASH_POLICIES = ['layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4', 'vlan+srcmac']
const MIIMON_MS = 100

/**
 * Throws InvalidConfigError that names the place, what stands there and what may.
 * @param text the file's
 */
export function parseNetworkData(text: string): NetworkData {
  if (Buffer.byteLength(text) > MOST_BYTES) {
    throw refusal('', `has ${Buffer.byteLength(text)} bytes, at most ${MOST_BYTES} are read`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw refusal('', 'is no JSON', cause)
  }
  if (!isObject(json)) throw refusal('', 'is no JSON object')
  const links = listAt(json, 'links', '').map((each, i) => parseLink(each, `links[${i}]`))
  const twice = links.find(({ id }, i) => links.findIndex((other) => other.id === id) !== i)
  if (twice) throw refusal('links', `two have the id ${shown(twice.id)}`)
  const networks = listAt(json, 'networks', '').map((each, i) =>
    parseNetwork(each, `networks[${i}]`),
  )
  assertLinksAreThere(links, networks)
  const nameServers = [json, ...networkObjects(json)].flatMap((holder) => nameServersOf(holder))
  return { links, networks, nameServers: [...new Set(nameServers)] }
}

function parseLink(link: JsonObject, at: string): Link {
  const id = textAt(link, 'id', at)
  const type = textAt(link, 'type', at)
  const common = { id, mtu: mtuAt(link, at) }
  if (type === 'vlan') {
    return {
      ...{ kind: 'vlan', ...common, mac: macAt(link, 'vlan_mac_address', at) },
      vlanId: numberAt(link, 'vlan_id', at, { min: 1, max: 4094 }),
      parent: textAt(link, 'vlan_link', at),
    }
  }
  const mac = macAt(link, 'ethernet_mac_address', at)
  if (type !== 'bond') return { kind: 'physical', ...common, mac }
  const members = link['bond_links']
  if (!Array.isArray(members) || members.length === 0 || members.length > MOST_ITEMS) {
    throw refusal(`${at}.bond_links`, `must be a list of 1 to ${MOST_ITEMS} ids of links`)
  }
  return {
    ...{ kind: 'bond', ...common, mac, mode: bondModeAt(link, at) },
    members: members.map((member) => String(member)),
    miimonMs:
      link['bond_miimon'] === undefined || link['bond_miimon'] === null
        ? MIIMON_MS
        : numberAt(link, 'bond_miimon', at, { min: 0, max: 60_000 }),
    xmitHashPolicy: wordAt(link, 'bond_xmit_hash_policy', at, HASH_POLICIES),
    lacpRate: wordAt(link, 'bond_lacp_rate', at, ['slow', 'fast']),
  }
}

/** Ironic's schema says 802.1ad, which is another standard, for 802.3ad; Neutron leaves the mode out. */
function bondModeAt(link: JsonObject, at: string): string {
  if (link['bond_mode'] === '802.1ad') return '802.3ad'
  return wordAt(link, 'bond_mode', at, BOND_MODES) ?? 'active-backup'
}

const BY_DHCP = /^ipv[46]_dhcp$|^ipv6_dhcpv6-state(?:ful|less)$/

function parseNetwork(network: JsonObject, at: string): Network {
  const type = textAt(network, 'type', at)
  const link = textAt(network, 'link', at)
  if (BY_DHCP.test(type)) return { link, method: 'dhcp', address: undefined, routes: [] }
  if (type === 'ipv6_slaac') return { link, method: 'slaac', address: undefined, routes: [] }
  if (type !== 'ipv4' && type !== 'ipv6') {
    throw refusal(
      `${at}.type`,
      `is ${shown(type)}; there are ipv4, ipv6, ipv4_dhcp, ipv6_dhcp, ipv6_slaac`,
    )
  }
  const family = type === 'ipv4' ? 4 : 6
  const address = addressAt(network, at, family)
  const routes = listAt(network, 'routes', at).map((route, i) =>
    parseRoute(route, `${at}.routes[${i}]`, family),
  )
  const gateway = network['gateway']
  if (gateway !== undefined && gateway !== null) {
    const any = { network: family === 4 ? '0.0.0.0' : '::', prefix: 0, family } as const
    routes.push({ ...any, gateway: ipAt(network, 'gateway', at, family) })
  }
  return { link, method: 'static', address, routes }
}

function addressAt(network: JsonObject, at: string, family: Family) {
  const [ip = '', bits] = textAt(network, 'ip_address', at).split('/')
  assertIp(ip, `${at}.ip_address`, family)
  const netmask = bits ?? network['netmask']
  const prefix = prefixOfNetmask(String(netmask), family)
  if (prefix === undefined) {
    const where = bits === undefined ? `${at}.netmask` : `${at}.ip_address`
    throw refusal(where, `${shown(netmask)} is no netmask of IPv${family}`)
  }
  return { ip, prefix, family }
}

function parseRoute(route: JsonObject, at: string, family: Family): Route {
  const network = ipAt(route, 'network', at, family)
  const prefix = prefixOfNetmask(String(route['netmask']), family)
  if (prefix === undefined) {
    throw refusal(`${at}.netmask`, `${shown(route['netmask'])} is no netmask of IPv${family}`)
  }
  return { network, prefix, gateway: ipAt(route, 'gateway', at, family), family }
}

function assertLinksAreThere(links: readonly Link[], networks: readonly Network[]): void {
  const ids = links.map(({ id }) => id)
  const assertThere = (id: string, at: string) => {
    if (!ids.includes(id)) {
      throw refusal(at, `${shown(id)} is the id of no link; links are ${ids.map(shown).join(', ')}`)
    }
  }
  for (const [i, link] of links.entries()) {
    if (link.kind === 'vlan') assertThere(link.parent, `links[${i}].vlan_link`)
    if (link.kind === 'bond') {
      for (const member of link.members) assertThere(member, `links[${i}].bond_links`)
    }
  }
  for (const [i, { link }] of networks.entries()) assertThere(link, `networks[${i}].link`)
}

function networkObjects(json: JsonObject): JsonObject[] {
  const networks = listAt(json, 'networks', '')
  return [...networks, ...networks.flatMap((network) => listAt(network, 'routes', ''))]
}

/** nova has them at the top, and with networks and routes too. */
function nameServersOf(holder: JsonObject): string[] {
  const services = listAt(holder, 'services', '')
  return services
    .filter((service) => service['type'] === 'dns')
    .map((service) => {
      const address = String(service['address'])
      if (familyOf(address) !== undefined) return address
      throw refusal('services', `${shown(address)} is no address of a name server`)
    })
}

function refusal(at: string, problem: string, cause?: unknown): AgentError {
  const place = at === '' ? 'network_data.json' : `network_data.json: ${at}`
  return new AgentError('InvalidConfigError', `${place} ${problem}`, cause ? { cause } : {})
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80)
}

function listAt(holder: JsonObject, key: string, at: string): JsonObject[] {
  const list = holder[key] ?? []
  const where = at === '' ? key : `${at}.${key}`
  if (!Array.isArray(list) || !list.every(isObject)) throw refusal(where, 'is no list of objects')
  if (list.length > MOST_ITEMS)
    throw refusal(where, `has ${list.length} items, at most ${MOST_ITEMS}`)
  return list
}

function textAt(holder: JsonObject, key: string, at: string): string {
  const value = holder[key]
  if (typeof value === 'string' && value !== '') return value
  throw refusal(`${at}.${key}`, `must be text, is ${shown(value)}`)
}

function wordAt(
  holder: JsonObject,
  key: string,
  at: string,
  words: readonly string[],
): string | null {
  const value = holder[key] ?? null
  if (value === null) return null
  if (typeof value === 'string' && words.includes(value)) return value
  throw refusal(`${at}.${key}`, `is ${shown(value)}; there are ${words.join(', ')}`)
}

/** nova writes some numbers as text. */
function numberAt(
  holder: JsonObject,
  key: string,
  at: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = holder[key]
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  if (Number.isInteger(number) && Number(number) >= min && Number(number) <= max)
    return Number(number)
  throw refusal(`${at}.${key}`, `is ${shown(value)}; it must be a number from ${min} to ${max}`)
}

function mtuAt(link: JsonObject, at: string): number | null {
  return link['mtu'] === undefined || link['mtu'] === null ? null : numberAt(link, 'mtu', at, MTU)
}

function macAt(link: JsonObject, key: string, at: string): string | null {
  const value = link[key] ?? null
  if (value === null) return null
  const mac = String(value).toLowerCase().replaceAll('-', ':')
  if (/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return mac
  throw refusal(`${at}.${key}`, `is ${shown(value)}, which is no MAC address`)
}

function ipAt(holder: JsonObject, key: string, at: string, family: Family): string {
  const ip = textAt(holder, key, at)
  assertIp(ip, `${at}.${key}`, family)
  return ip
}

function assertIp(ip: string, at: string, family: Family): void {
  if (familyOf(ip) !== family || ip.includes('%')) {
    throw refusal(at, `is ${shown(ip)}, which is no IPv${family} address`)
  }
}
