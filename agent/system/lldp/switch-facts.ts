// SPDX-License-Identifier: Apache-2.0
// Owns what the values of LLDP say, in the names that Ironic's hook `parse-lldp` gives them (IEEE 802.1AB 8.5,
// 802.1Q annex D, 802.3 79.3). Does not listen (lldp.ts). What a switch says wrongly is left out.
import { SocketAddress } from 'node:net'
import type { Tlv } from './lldpdu.ts'

/** Keys as `switch_port_id`; a value is text, a number, a boolean or a list. */
export type SwitchFacts = { [name: string]: unknown }

/** One neighbour says no more than a frame holds; this is for those that repeat themselves. */
const MAX_ITEMS = 128

/** The first of several that say the same counts; addresses and VLANs are lists. */
export function switchFacts(tlvs: readonly Tlv[]): SwitchFacts {
  const facts: SwitchFacts = {}
  for (const { type, value } of tlvs) {
    const bytes = Buffer.from(value)
    const read = type === ORGANIZATION ? READERS[organizationOf(bytes)] : READERS[`${type}`]
    const body = type === ORGANIZATION ? bytes.subarray(4) : bytes
    for (const [name, fact] of Object.entries(read?.(body) ?? {})) put(facts, name, fact)
  }
  return facts
}

function put(facts: SwitchFacts, name: string, fact: unknown): void {
  if (fact === undefined) return
  const known = facts[name]
  if (known === undefined) facts[name] = fact
  else if (LISTS.has(name) && Array.isArray(known) && Array.isArray(fact)) {
    facts[name] = [...known, ...fact].slice(0, MAX_ITEMS)
  }
}

const ORGANIZATION = 127
const LISTS: ReadonlySet<string> = new Set(['switch_mgmt_addresses', 'switch_port_vlans'])

/** `0080c2.1`: organization and subtype. */
function organizationOf(bytes: Buffer): string {
  return bytes.length < 4 ? '' : `${bytes.toString('hex', 0, 3)}.${bytes[3]}`
}

type Reader = (bytes: Buffer) => SwitchFacts

const READERS: Readonly<Record<string, Reader>> = {
  '1': (bytes) => ({ switch_chassis_id: identifier(bytes, { mac: 4, address: 5 }) }),
  '2': (bytes) => ({ switch_port_id: identifier(bytes, { mac: 3, address: 4 }) }),
  '4': (bytes) => ({ switch_port_description: textOf(bytes) }),
  '5': (bytes) => ({ switch_system_name: textOf(bytes) }),
  '6': (bytes) => ({ switch_system_description: textOf(bytes) }),
  '7': (bytes) =>
    bytes.length === 4
      ? {
          switch_capabilities_support: capabilities(bytes.readUInt16BE(0)),
          switch_capabilities_enabled: capabilities(bytes.readUInt16BE(2)),
        }
      : {},
  '8': (bytes) => {
    const address = addressOf(bytes.subarray(1, 1 + (bytes[0] ?? 0)))
    return address === undefined ? {} : { switch_mgmt_addresses: [address] }
  },
  // 802.1
  '0080c2.1': (bytes) => ({ switch_port_untagged_vlan_id: numberOf(bytes) }),
  '0080c2.3': (bytes) => {
    const id = numberOf(bytes)
    const name = bytes.toString('utf8', 3, 3 + (bytes[2] ?? 0))
    return id === undefined || bytes.length < 3 ? {} : { switch_port_vlans: [{ name, id }] }
  },
  '0080c2.6': (bytes) => ({ switch_port_management_vlan_id: numberOf(bytes) }),
  '0080c2.7': aggregation,
  // 802.3; its own form of link aggregation is older than that of 802.1 and the same
  '00120f.1': (bytes) =>
    bytes.length < 5
      ? {}
      : {
          switch_port_autonegotiation_enabled: isSet(bytes, 1),
          switch_port_autonegotiation_support: isSet(bytes, 0),
        },
  '00120f.3': aggregation,
  '00120f.4': (bytes) => ({ switch_port_mtu: numberOf(bytes) }),
}

function aggregation(bytes: Buffer): SwitchFacts {
  if (bytes.length !== 5) return {}
  return {
    switch_port_link_aggregation_enabled: isSet(bytes, 1),
    switch_port_link_aggregation_support: isSet(bytes, 0),
    switch_port_link_aggregation_id: bytes.readUInt32BE(1),
  }
}

/** A bit of the first byte, counted from the lowest. */
function isSet(bytes: Buffer, bit: number): boolean {
  return ((bytes[0] ?? 0) & (1 << bit)) !== 0
}

/** Of two bytes. */
function numberOf(bytes: Buffer): number | undefined {
  return bytes.length >= 2 ? bytes.readUInt16BE(0) : undefined
}

/** A chassis or a port, by its first byte: a MAC address, an address of a network, else text. */
function identifier(
  bytes: Buffer,
  subtypes: { readonly mac: number; readonly address: number },
): string | undefined {
  const value = bytes.subarray(1)
  if (bytes[0] === subtypes.mac) return value.length === 6 ? macOf(value) : undefined
  if (bytes[0] === subtypes.address) return addressOf(value)
  return textOf(value)
}

/** IANA's address families, the first byte: 1 IPv4, 2 IPv6, 6 MAC. */
function addressOf(bytes: Buffer): string | undefined {
  const value = bytes.subarray(1)
  if (bytes[0] === 1 && value.length === 4) return value.join('.')
  if (bytes[0] === 6 && value.length === 6) return macOf(value)
  if (bytes[0] !== 2 || value.length !== 16) return undefined
  const groups = value.toString('hex').replaceAll(/(.{4})(?!$)/g, '$1:')
  return new SocketAddress({ family: 'ipv6', address: groups }).address
}

function macOf(bytes: Buffer): string {
  return bytes.toString('hex').replaceAll(/(..)(?!$)/g, '$1:')
}

/** Undefined for what is no UTF-8, which no log and no database should have to bear. */
function textOf(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replaceAll('\0', '') || undefined
  } catch {
    return undefined
  }
}

/** 802.1AB table 8-4, from the second-lowest bit on, in the words of Ironic. */
const CAPABILITIES = [
  'Repeater',
  'Bridge',
  'WLAN',
  'Router',
  'Telephone',
  'DOCSIS cable device',
  'Station only',
  'C-Vlan',
  'S-Vlan',
  'TPMR',
] as const

function capabilities(bits: number): string[] {
  return CAPABILITIES.filter((_, index) => (bits & (1 << (index + 1))) !== 0)
}
