// SPDX-License-Identifier: Apache-2.0
// Owns the address under which the conductor reaches this agent (contract 3.4): configured, of one
// interface, or the source address of the route to Ironic. Does not listen on it.
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Config } from '../config/options.ts'
import { sleep } from '../core/deadline.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import type { Exec } from '../system/exec.ts'
import { sourceAddress } from '../system/net.ts'
import { withoutBrackets } from '../system/network/ip-network.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { IronicClient } from './client.ts'
import { openRunState } from './run-state.ts'

export type AddressConfig = Pick<
  Config,
  'advertise_host' | 'network_interface' | 'ip_lookup_attempts' | 'ip_lookup_sleep' | 'run_dir'
>

export interface AddressOptions {
  readonly config: AddressConfig
  readonly client: Pick<IronicClient, 'urls' | 'answers'>
  readonly exec: Exec
  readonly log: Logger
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<void>
  readonly signal?: AbortSignal | undefined
}

/** Kept for the boot; agent-token.ts drops it with the results when another boot begins. */
const ADDRESS_FILE = 'advertised-address'

/**
 * A host name or an address without brackets. What a route brought is kept in run_dir for as long as the
 * machine has it: routes change, and the conductor refuses a callback_url that does (contract 3.1).
 * Throws LookupAgentIPError.
 */
export async function findAdvertisedAddress(options: AddressOptions): Promise<string> {
  const { config } = options
  if (config.advertise_host !== null) return withoutBrackets(config.advertise_host)
  if (config.network_interface !== null) return addressOfInterface(config.network_interface)
  const state = openRunState(config.run_dir)
  const kept = state.read(ADDRESS_FILE)
  if (kept !== undefined && isLocal(kept)) return kept
  const found = await searchRoutes(options)
  state.write(ADDRESS_FILE, found)
  return found
}

async function searchRoutes(options: AddressOptions): Promise<string> {
  const { config, log } = options
  const hosts = await answeringHosts(options)
  for (let attempt = 1; ; attempt++) {
    const reasons: string[] = []
    for (const host of hosts) {
      const found = await sourceTowards(options.exec, host).catch((error: unknown) => {
        reasons.push(`${host}: ${messageOf(error)}`)
        return undefined
      })
      if (found !== undefined) return found
      reasons.push(`${host}: no route with a usable source address`)
    }
    if (attempt >= config.ip_lookup_attempts) {
      throw new AgentError(
        'LookupAgentIPError',
        `no source address towards ${hosts.join(', ') || 'any api_url'} after ${attempt} rounds ` +
          `(${reasons.join('; ')}); check the routes or set ipa-advertise-host`,
      )
    }
    log.warn({ attempt, reasons }, 'no address to advertise yet')
    await (options.wait ?? sleep)(config.ip_lookup_sleep * 1000, options.signal)
  }
}

/** `scheme://host:port`, no slash at the end, IPv6 in brackets (contract 3.1). */
export function callbackUrl(protocol: 'http' | 'https', host: string, port: number): string {
  return `${protocol}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** Hosts of the URLs that answer, in order; all of them if none does, so that routes decide. */
async function answeringHosts({ client, signal }: AddressOptions): Promise<string[]> {
  const urls = client.urls()
  const isUp = await Promise.all(urls.map((url) => client.answers(url, signal)))
  const live = urls.filter((_, i) => isUp[i])
  return (live.length > 0 ? live : urls).map((url) => withoutBrackets(new URL(url).hostname))
}

async function sourceTowards(exec: Exec, host: string): Promise<string | undefined> {
  const addresses = isIP(host) ? [{ address: host }] : await lookup(host, { all: true })
  for (const { address } of addresses) {
    const source = await sourceAddress(exec, address)
    if (source !== undefined) return source
  }
  return undefined
}

function isLocal(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((entry) => entry.address === address),
  )
}

function addressOfInterface(name: string): string {
  const found = networkInterfaces()[name]?.find(({ family }) => family === 'IPv4')
  if (found !== undefined) return found.address
  throw new AgentError(
    'LookupAgentIPError',
    `network_interface ${name} has no IPv4 address; check the name or set ipa-advertise-host`,
  )
}
