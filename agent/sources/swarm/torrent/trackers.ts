// SPDX-License-Identifier: Apache-2.0
// Owns which trackers are announced to: payload, metainfo and configuration merged into BEP 12 tiers.
// Does not announce (announce/).

/** Trackers over WebSocket introduce browsers to each other, which no node of ours is. */
const TRACKER_SCHEMES = new Set(['http:', 'https:', 'udp:'])
/** More than anybody runs; a hostile list must not become a flood of requests. */
const MAX_TRACKERS = 32
const MAX_URL_LENGTH = 2048

/** True for an absolute http, https or udp url with a host: those that are announced to. */
export function isTrackerUrl(text: string): boolean {
  if (text.length > MAX_URL_LENGTH) return false
  try {
    const url = new URL(text)
    // nobody listens on port 0
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

/** What the path of a tracker ends with. */
const TRACKER_FILE = /^(?:announce|scrape)(?:\.php)?$/

/**
 * The tracker as it may be shown: private trackers carry their users' passkeys anywhere in path and query,
 * so nothing of these is left but what every tracker has.
 */
export function trackerLabel(url: string): string {
  const parsed = URL.parse(url)
  if (parsed === null) return 'a tracker'
  const segments = parsed.pathname.split('/').filter((segment) => segment !== '')
  const shown = segments.map((segment) => (TRACKER_FILE.test(segment) ? segment : '***'))
  const path = shown.length === 0 ? '' : `/${shown.join('/')}`
  return `${parsed.protocol}//${parsed.host}${path}${parsed.search === '' ? '' : '?***'}`
}

/** What of the url may be a secret: user info, parts of the path, values of the query. */
export function trackerSecrets(url: string): string[] {
  const parsed = URL.parse(url)
  if (parsed === null) return []
  const segments = parsed.pathname.split('/').filter((segment) => !TRACKER_FILE.test(segment))
  const parts = [parsed.username, parsed.password, ...segments, ...parsed.searchParams.values()]
  return [...new Set(parts.flatMap((secret) => [secret, unescaped(secret)]))]
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    .sort((a, b) => b.length - a.length)
}

/** Shorter ones are words such as `tracker`; to strike them out would leave no sentence. */
const MIN_SECRET_LENGTH = 8

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
