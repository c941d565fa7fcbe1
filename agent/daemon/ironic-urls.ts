// SPDX-License-Identifier: Apache-2.0
// Owns which URLs of Ironic the agent talks to, and what a person is told where there is none. Does not talk
// to them.
import type { Config } from '../config/options.ts'

export interface IronicUrls {
  readonly urls: readonly string[]
  /** Why the agent does less than its settings ask, one sentence each: for the console, not for the log alone. */
  readonly notices: readonly string[]
}

type UrlOptions = Pick<Config, 'api_url' | 'use_mdns' | 'inspection_callback_url'>

/**
 * mDNS is not spoken; that does not end the agent, because its supervisor would start it again for ever:
 * without a URL it serves its API and heartbeats to nobody (contract 1.5). Where nothing but an inspection is
 * asked for, as Ironic does without fast track, no other URL is missed.
 */
export function findIronicUrls(config: UrlOptions): IronicUrls {
  const urls = config.api_url.filter((url) => url !== 'mdns')
  const asksMdns = urls.length < config.api_url.length || (config.use_mdns && urls.length === 0)
  const hasInspectionUrl = config.inspection_callback_url.some((url) => url !== 'mdns')
  const notices: string[] = []
  if (asksMdns) {
    const rest = urls.length > 0 ? `; ${urls.join(', ')} is used` : ''
    notices.push(`Ironic is to be found by mDNS, which this version cannot do${rest}`)
  }
  if (config.inspection_callback_url.includes('mdns')) {
    const rest = hasInspectionUrl ? 'its other URLs are used' : 'nothing is posted'
    notices.push(
      `ipa-inspection-callback-url is to be found by mDNS, which this version cannot do: ${rest}; name http(s)://host:port/v1/continue_inspection`,
    )
  }
  if (urls.length === 0 && !hasInspectionUrl) {
    notices.push(
      'no URL of Ironic is known, so this machine waits and heartbeats to nobody; set ipa-api-url=http(s)://host:port on the kernel line',
    )
  }
  return { urls, notices }
}
