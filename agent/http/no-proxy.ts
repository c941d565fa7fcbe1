// SPDX-License-Identifier: Apache-2.0
// Owns the question whether a host is exempt from the proxy (`no_proxy`). Does not open connections.
import {
  bitsOfAddress,
  familyOf,
  isInNetwork,
  withoutBrackets,
} from '../system/network/ip-network.ts'

/**
 * True if `url` must be fetched without the proxy.
 * @param noProxy comma-separated host names, domains (`.example.org` or `example.org`, both with their
 *   subdomains), addresses, CIDR blocks, each with an optional `:port`; `*` exempts everything
 */
export function isProxyExempt(url: URL, noProxy: string | undefined): boolean {
  const host = withoutBrackets(url.hostname).toLowerCase()
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  const entries = (noProxy ?? '').toLowerCase().split(/[\s,]+/)
  return entries.some((entry) => entry !== '' && matches(entry, host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  if (entry.includes('/')) return isInBlock(entry, host)
  const { name, port: wantedPort } = splitPort(entry)
  if (wantedPort !== undefined && wantedPort !== port) return false
  if (familyOf(host) !== undefined) {
    const family = familyOf(name)
    return family !== undefined && isInBlock(`${name}/${bitsOfAddress(family)}`, host)
  }
  const domain = name.replace(/^\*?\./, '')
  return domain !== '' && (host === domain || host.endsWith(`.${domain}`))
}

function splitPort(entry: string): { name: string; port?: string } {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(entry)
  const match = bracketed ?? /^([^:]+):(\d+)$/.exec(entry)
  if (!match) return { name: entry }
  return { name: match[1] as string, ...(match[2] === undefined ? {} : { port: match[2] }) }
}

function isInBlock(block: string, host: string): boolean {
  const [network = '', bits = ''] = block.split('/')
  const family = familyOf(network)
  if (family === undefined || family !== familyOf(host) || !/^\d+$/.test(bits)) return false
  return Number(bits) <= bitsOfAddress(family) && isInNetwork(network, Number(bits), host, family)
}
