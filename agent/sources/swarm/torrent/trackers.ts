// SPDX-License-Identifier: Apache-2.0
// Owns which trackers are announced to: payload, metainfo and configuration merged into BEP 12 tiers.
// Does not announce; session/announcer.ts does.

const TRACKER_SCHEMES = new Set(['http:', 'https:', 'udp:', 'ws:', 'wss:'])
/** More than anybody runs; a hostile list must not become a flood of requests. */
const MAX_TRACKERS = 32
const MAX_URL_LENGTH = 2048

/** True for an absolute http, https, udp, ws or wss url with a host. */
export function isTrackerUrl(text: string): boolean {
  if (text.length > MAX_URL_LENGTH) return false
  try {
    const url = new URL(text)
    // port 0 makes the UDP client throw
    return TRACKER_SCHEMES.has(url.protocol) && url.hostname !== '' && url.port !== '0'
  } catch {
    return false
  }
}

/** One list of trackers: tiers (BEP 12), or one url per entry. */
export type TrackerList = readonly (string | readonly string[])[]

/**
 * Merges tracker lists, the most specific first; a url counts once, at its first place. An entry that
 * is a plain url becomes a tier of its own.
 */
export function mergeTrackers(...lists: readonly (TrackerList | undefined)[]): string[][] {
  const seen = new Set<string>()
  const tiers: string[][] = []
  for (const entry of lists.flatMap((list) => list ?? [])) {
    const tier: string[] = []
    for (const url of (typeof entry === 'string' ? [entry] : entry).map((each) => each.trim())) {
      if (!isTrackerUrl(url) || seen.has(url) || seen.size >= MAX_TRACKERS) continue
      seen.add(url)
      tier.push(url)
    }
    if (tier.length > 0) tiers.push(tier)
  }
  return tiers
}
