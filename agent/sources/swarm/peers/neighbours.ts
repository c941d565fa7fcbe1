// SPDX-License-Identifier: Apache-2.0
// Owns the question who is near: the same rack by name, else the same subnet. Does not measure.
import { BlockList, isIP } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'
import { plainHost } from './address.ts'

/** Key of our extended handshake (BEP 10) that carries the name of the rack. */
export const RACK_KEY = 'ironswarm_rack'
/** Longer names are not compared. The longest chassis id of LLDP takes 517. */
const MAX_RACK_BYTES = 1024

/** Looking takes 80 µs, and a tracker names two hundred peers at a time. */
const LOOK_MS = 3000

/** Ours, by name. */
export type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>

/** The interfaces as they were at most 3 s ago. @param look at those there are now: of node:os */
export function createInterfaceLook(look: () => Interfaces, now: () => number): () => Interfaces {
  let seen: { readonly at: number; readonly interfaces: Interfaces } | undefined
  return () => {
    if (seen === undefined || now() - seen.at >= LOOK_MS) seen = { at: now(), interfaces: look() }
    return seen.interfaces
  }
}

/** True if a network of ours holds the host: packets to it pass no router. */
export function isNeighbour(host: string, interfaces: Interfaces): boolean {
  // RFC 4007: a zone is no part of the address
  const plain = plainHost(host.replace(/%.*$/, ''))
  const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4'
  if (isIP(plain) === 0) return false
  const networks = new BlockList()
  for (const { cidr } of Object.values(interfaces).flatMap((each) => each ?? [])) {
    const [network, prefix] = cidr?.split('/') ?? []
    if (network === undefined || (isIP(network) === 6) !== (family === 'ipv6')) continue
    networks.addSubnet(network, Number(prefix), family)
  }
  return networks.check(plain, family)
}

/** Where peers on this machine's networks reach us, `host:port`. */
export function ownAddresses(interfaces: Interfaces, port: number): Set<string> {
  const addresses = Object.values(interfaces).flatMap((each) => each ?? [])
  return new Set(
    addresses.map(({ address, family }) =>
      family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
    ),
  )
}

/**
 * Whether a peer is in another rack. Names decide where both have one: a subnet may span racks, and a
 * rack may have several.
 * @param theirs what came under RACK_KEY, if anything did
 */
export function isFar(ours: string | null, theirs: unknown, isOnSubnet: boolean): boolean {
  if (ours === null || !(theirs instanceof Uint8Array) || theirs.length > MAX_RACK_BYTES) {
    return !isOnSubnet
  }
  return !Buffer.from(ours, 'utf8').equals(theirs)
}
