// SPDX-License-Identifier: Apache-2.0
// Owns which URLs of Ironic the agent talks to, and what a person is told where there is none. Does not talk
// to them.
import type { Config } from '../config/options.ts'

export interface IronicUrls {
  readonly urls: readonly string[]
  /** Why the agent does less than its settings ask, one sentence each: for the console, not for the log alone. */
  readonly notices: readonly string[]
}

type UrlOptions = Pick<Config, 'api_url' | 'inspection_callback_url'>

/**
 * Without a URL the agent serves its API and heartbeats to nobody (contract 1.5): it does not end, because its supervisor
 * would start it again for ever. Where nothing but an inspection is asked for, as Ironic does without fast track, no other
 * URL is missed.
 */
export function findIronicUrls({ api_url, inspection_callback_url }: UrlOptions): IronicUrls {
  if (api_url.length > 0 || inspection_callback_url.length > 0) {
    return { urls: api_url, notices: [] }
  }
  const notice =
    'no URL of Ironic is known, so this machine waits and heartbeats to nobody; set ipa-api-url=http(s)://host:port on the kernel line'
  return { urls: [], notices: [notice] }
}
