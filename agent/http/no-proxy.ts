// SPDX-License-Identifier: Apache-2.0
// Owns the question whether a host is exempt from the proxy (`no_proxy`). Does not open connections.
import { BlockList, isIP } from 'node:net'
import { withoutBrackets } from '../system/network/ip-network.ts'

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
  if (isIP(host) > 0)
    return isIP(name) > 0 && isInBlock(`${name}/${isIP(name) === 4 ? 32 : 128}`, host)
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
  const family = isIP(network)
  const prefix = Number(bits)
  const isPrefix = /^\d+$/.test(bits) && prefix <= (family === 4 ? 32 : 128)
  if (family === 0 || family !== isIP(host) || !isPrefix) return false
  const list = new BlockList()
  const type = family === 4 ? 'ipv4' : 'ipv6'
  list.addSubnet(network, prefix, type)
  return list.check(host, type)
}
