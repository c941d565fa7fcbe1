// SPDX-License-Identifier: Apache-2.0
// Owns the arithmetic of IP addresses that a static configuration needs: netmasks, prefixes, what lies in which network.
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

export type Family = 4 | 6

/** The family of an address without zone and prefix; undefined if it is none. */
export function familyOf(address: string): Family | undefined {
  const family = isIP(address)
  return family === 0 ? undefined : (family as Family)
}

/** How many bits an address has: the longest prefix. */
export function bitsOfAddress(family: Family): number {
  return family === 4 ? 32 : 128
}

/** Bits of a netmask: dotted, as an IPv6 address, or as a number; undefined if it is none or has holes. */
export function prefixOfNetmask(netmask: string, family: Family): number | undefined {
  const most = bitsOfAddress(family)
  if (/^\d{1,3}$/.test(netmask)) {
    const bits = Number(netmask)
    return bits <= most ? bits : undefined
  }
  if (family === 4 ? !isIPv4(netmask) : !isIPv6(netmask) || netmask.includes('%')) return undefined
  const bits = bitsOf(netmask, family)
  const ones = bits.indexOf('0')
  if (ones < 0) return most
  return bits.includes('1', ones) ? undefined : ones
}

/** True if the network of `address`/`prefix` has `other` in it. Both are addresses of one family. */
export function isInNetwork(
  address: string,
  prefix: number,
  other: string,
  family: Family,
): boolean {
  const network = new BlockList()
  const type = family === 4 ? 'ipv4' : 'ipv6'
  network.addSubnet(address, prefix, type)
  return network.check(other, type)
}

/** The host of a URL as sockets and resolvers take it: an IPv6 address stands in brackets there (RFC 3986 §3.2.2). */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

/** Of one link alone: RFC 3927, RFC 4291 §2.5.6. */
export function isLinkLocal(address: string): boolean {
  return /^169\.254\./.test(address) || isLinkLocalIpv6(address)
}

/** RFC 4291 §2.5.6: reached on any link. */
export function isLinkLocalIpv6(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address)
}

function bitsOf(address: string, family: Family): string {
  const words = family === 4 ? address.split('.').map(Number) : wordsOfIpv6(address)
  return words.map((word) => word.toString(2).padStart(family === 4 ? 8 : 16, '0')).join('')
}

/** Eight words of 16 bits. */
function wordsOfIpv6(address: string): number[] {
  // a last part in IPv4's way stands for two words
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [before = '', after] = plain.split('::')
  const words = (text: string) =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16))
  const head = words(before)
  const tail = after === undefined ? [] : words(after)
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}
