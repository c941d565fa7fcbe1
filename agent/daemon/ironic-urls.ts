// SPDX-License-Identifier: Apache-2.0
// Owns which URLs of Ironic the agent talks to, and what a person is told where there is none. Does not talk
// to them.
import type { Config } from '../config/options.ts'

export interface IronicUrls {
  readonly urls: readonly string[]
  /** Why the agent does less than its settings ask, one sentence each: for the console, not for the log alone. */
  readonly notices: readonly string[]
}

type UrlOptions = Pick<
  Config,
  'api_url' | 'use_mdns' | 'inspection_callback_url' | 'inspection_collectors'
>

/**
 * mDNS is not spoken and inspection is not done; neither ends the agent, because its supervisor would start it
 * again for ever: without a URL it serves its API and heartbeats to nobody (contract 1.5).
 */
export function findIronicUrls(config: UrlOptions): IronicUrls {
  const urls = config.api_url.filter((url) => url !== 'mdns')
  const asksMdns = urls.length < config.api_url.length || (config.use_mdns && urls.length === 0)
  const asksInspection =
    config.inspection_callback_url.length > 0 || config.inspection_collectors.length > 0
  const notices: string[] = []
  if (asksMdns) {
    const rest = urls.length > 0 ? `; ${urls.join(', ')} is used` : ''
    notices.push(`Ironic is to be found by mDNS, which this version cannot do${rest}`)
  }
  if (asksInspection) {
    const what = config.inspection_callback_url.length > 0 ? 'callback_url' : 'collectors'
    notices.push(
      `in-band inspection is asked for (ipa-inspection-${what.replace('_', '-')}), which this version cannot do: nothing is posted, and Ironic's inspection will time out; inspect out of band or boot ironic-python-agent for it`,
    )
  }
  if (urls.length === 0) {
    notices.push(
      'no URL of Ironic is known, so this machine waits and heartbeats to nobody; set ipa-api-url=http(s)://host:port on the kernel line',
    )
  }
  return { urls, notices }
}
