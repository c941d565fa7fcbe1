// SPDX-License-Identifier: Apache-2.0
// Owns how trackers write addresses of peers: compact (BEP 23, BEP 7, BEP 15) or as a list (BEP 3). Does
// not know who is there.
import { isIPv6 } from 'node:net'
import { withoutBrackets } from '../../../system/network/ip-network.ts'
import { plainHost } from '../peers/address.ts'
import type { BencodeValue } from '../torrent/bencode-reader.ts'

/** More than any tracker gives; the rest of a flood is not looked at. */
export const MAX_PEERS = 1000
const MAX_HOST_LENGTH = 253
/** Each is a question to the resolver, in a thread that Ironic's name needs too. */
const MAX_NAMES = 4
/** A name (RFC 1123) or an address. */
const HOST = /^[\w.:-]+$/

/** Bytes of an address in each family. */
export type AddressBytes = 4 | 16

/** The value of `peers` or `peers6`, in whichever form it came. What of it makes no sense is left out. */
export function peerAddresses(value: BencodeValue | undefined, bytes: AddressBytes): string[] {
  if (value instanceof Uint8Array) return compactAddresses(value, bytes)
  const entries = value instanceof Map || Array.isArray(value) ? [...value.values()] : []
  const addresses = entries.slice(0, MAX_PEERS).flatMap((entry: BencodeValue) => {
    if (entry instanceof Uint8Array) return compactAddresses(entry, entry.length === 18 ? 16 : 4)
    return entry instanceof Map ? (listedAddress(entry) ?? []) : []
  })
  const names = addresses.filter(isNamed).slice(0, MAX_NAMES)
  return addresses.filter((address) => !isNamed(address) || names.includes(address))
}

function isNamed(address: string): boolean {
  return !/^(\[|[\d.]+:)/.test(address)
}

/** Addresses end to end, each with its port; an incomplete one at the end is left out. */
export function compactAddresses(bytes: Uint8Array, addressBytes: AddressBytes): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const stride = addressBytes + 2
  const addresses: string[] = []
  for (let at = 0; at + stride <= bytes.length && addresses.length < MAX_PEERS; at += stride) {
    const host =
      addressBytes === 4
        ? bytes.subarray(at, at + 4).join('.')
        : Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16)).join(':')
    const address = addressOf(host, view.getUint16(at + addressBytes))
    if (address !== undefined) addresses.push(address)
  }
  return addresses
}

function listedAddress(entry: ReadonlyMap<string, BencodeValue>): string | undefined {
  const [host, port] = [entry.get('ip'), entry.get('port')]
  if (!(host instanceof Uint8Array) || host.length > MAX_HOST_LENGTH) return undefined
  const text = withoutBrackets(Buffer.from(host).toString('latin1'))
  const number = port instanceof Uint8Array ? Number(Buffer.from(port).toString('latin1')) : port
  return addressOf(text, number)
}

function addressOf(host: string, port: unknown): string | undefined {
  if (!HOST.test(host) || typeof port !== 'number') return undefined
  // nobody listens on port 0
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  const plain = plainHost(canonical(host))
  if (plain.includes(':') && !isIPv6(plain)) return undefined
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`
}

/** One way to write an IPv6 address, a mapped IPv4 address with dots. */
function canonical(host: string): string {
  if (!isIPv6(host)) return host
  const inner = new URL(`http://[${host}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(inner) ?? []
  if (high === undefined || low === undefined) return inner
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)]
  return `::ffff:${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`
}
