// SPDX-License-Identifier: Apache-2.0
// Owns finding the URLs of Ironic by multicast DNS, where the settings ask for it (contract 1.6): what was found takes the
// place of `mdns`. Does not speak the protocol; system/multicast/ does.
import { isIP } from 'node:net'
import type { LoadedConfig } from '../config/load.ts'
import { layOver } from '../config/lookup-overrides.ts'
import { mdnsOverrides } from '../config/mdns-overrides.ts'
import type { Config } from '../config/options.ts'
import { AgentError } from '../core/errors.ts'
import { redactUrl } from '../core/redact.ts'
import type { Exec } from '../system/exec.ts'
import { type FoundService, findService } from '../system/multicast/find-service.ts'
import { sourceAddress } from '../system/net.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface DiscoveryDeps {
  readonly exec: Exec
  readonly log: Logger
  readonly signal: AbortSignal
}

const MDNS = 'mdns'
const DOMAIN = '_openstack._tcp.local'
const API = 'baremetal'
const INSPECTION = 'baremetal-introspection'

/**
 * The settings without `mdns` as a URL. The one of the API is asked for first: its answer may name the one of the inspection.
 * Throws LookupNodeError where nobody answers and no other URL is known: the supervisor has the agent ask again.
 */
export async function discover(loaded: LoadedConfig, deps: DiscoveryDeps): Promise<LoadedConfig> {
  const { api_url, use_mdns } = loaded.config
  const asksApi = api_url.includes(MDNS) || (use_mdns && api_url.length === 0)
  const withApi = asksApi ? await discoverApi(loaded, deps) : loaded
  const known = withApi.config.inspection_callback_url.includes(MDNS)
    ? await discoverInspection(withApi, deps)
    : withApi
  const { api_url: urls, inspection_callback_url: others } = known.config
  const wasNamed = [...api_url, ...loaded.config.inspection_callback_url].includes(MDNS)
  if (!wasNamed || urls.length > 0 || others.length > 0) return known
  throw new AgentError(
    'LookupNodeError',
    `nobody on this network answers by mDNS to ${API}.${DOMAIN} or its like; is Ironic's enable_mdns on, and is it on this ` +
      'network? Else name ipa-api-url=http(s)://host:port',
  )
}

async function discoverApi(loaded: LoadedConfig, deps: DiscoveryDeps): Promise<LoadedConfig> {
  const named = loaded.config.api_url
  const url = (found: Endpoint) => (named.length === 0 ? [found.url] : replaced(named, found.url))
  const found = await findEndpoint(API, loaded.config, deps)
  if (found) return taken(loaded, found, { api_url: url(found) }, deps)
  return layOver(loaded, { api_url: replaced(named) }, 'mDNS')
}

async function discoverInspection(
  loaded: LoadedConfig,
  deps: DiscoveryDeps,
): Promise<LoadedConfig> {
  const named = loaded.config.inspection_callback_url
  const found = await findEndpoint(INSPECTION, loaded.config, deps)
  if (!found) return layOver(loaded, { inspection_callback_url: replaced(named) }, 'mDNS')
  const url = `${found.url.replace(/\/+$/, '')}/v1/continue`
  return taken(loaded, found, { inspection_callback_url: replaced(named, url) }, deps)
}

function replaced(urls: readonly string[], found?: string): string[] {
  return urls.flatMap((url) => (url === MDNS ? (found ?? []) : url))
}

/** The answer's own settings first: the URL is not theirs to change. */
function taken(
  loaded: LoadedConfig,
  { properties }: Endpoint,
  urls: Partial<Pick<Config, 'api_url' | 'inspection_callback_url'>>,
  { log }: DiscoveryDeps,
): LoadedConfig {
  const { values, warnings } = mdnsOverrides(properties, loaded.config.mdns_allowed_overrides)
  for (const warning of warnings) log.warn({ warning }, 'mDNS')
  return layOver(loaded, { ...values, ...urls }, 'mDNS')
}

interface Endpoint {
  readonly url: string
  /** Without those that the URL is made of. */
  readonly properties: ReadonlyMap<string, string>
}

async function findEndpoint(
  type: string,
  config: Config,
  { exec, log, signal }: DiscoveryDeps,
): Promise<Endpoint | undefined> {
  const service = await findService({
    name: `${type}.${DOMAIN}`,
    attempts: config.mdns_lookup_attempts,
    interfaces: config.mdns_interfaces,
    signal,
  })
  const url = service && (await urlOf(service, exec))
  if (!service || url === undefined) {
    log.warn({ type, addresses: service?.addresses }, 'not found by mDNS')
    return undefined
  }
  log.info({ type, url: redactUrl(url) }, 'found by mDNS')
  const properties = new Map(service.properties)
  for (const key of ['path', 'protocol']) properties.delete(key)
  return { url, properties }
}

/**
 * As ironic-lib makes it. Undefined where the host has no address that could be called, or its words make no URL.
 */
async function urlOf(
  { host, port, addresses, properties }: FoundService,
  exec: Exec,
): Promise<string | undefined> {
  const protocol = properties.get('protocol') || (port === 80 ? 'http' : 'https')
  const name = /\.local$/i.test(host) ? await reachable(addresses, exec) : host
  if (name === undefined || !/^https?$/.test(protocol)) return undefined
  const authority = `${isIP(name) === 6 ? `[${name}]` : name}:${port}`
  const url = `${protocol}://${authority}${properties.get('path') ?? ''}`
  return URL.canParse(url) && new URL(url).username === '' && !/[\s,]/.test(url) ? url : undefined
}

/** The first that there is a route to, else the first. */
async function reachable(addresses: readonly string[], exec: Exec): Promise<string | undefined> {
  for (const address of addresses) {
    const source = await sourceAddress(exec, address).catch(() => undefined)
    if (source !== undefined) return address
  }
  return addresses[0]
}
