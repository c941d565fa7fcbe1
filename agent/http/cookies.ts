// SPDX-License-Identifier: Apache-2.0
// Owns the cookies that servers set on the way through one chain of redirects (RFC 6265): some send a client
// in circles until it shows them. Keeps nothing for the next request.

/** A chain has at most ten hops; what sets more is up to no good. */
const MAX_COOKIES = 20
const MAX_COOKIE_BYTES = 4096

export interface CookieJar {
  /** Takes what an answer from `url` set. */
  take(setCookie: string | readonly string[] | undefined, url: URL): void
  /** The Cookie header for a request to `url`; nothing if none is for it. */
  headersFor(url: URL): Record<string, string>
}

interface Cookie {
  readonly host: string
  readonly isForSubdomains: boolean
  readonly isSecure: boolean
  readonly pair: string
}

/** An empty jar. */
export function createCookieJar(): CookieJar {
  const cookies = new Map<string, Cookie>()
  return {
    take: (setCookie, url) => {
      for (const text of [setCookie ?? []].flat()) {
        const cookie = parseCookie(text, url)
        if (!cookie) continue
        const key = `${cookie.host} ${cookie.pair.split('=')[0]}`
        if (cookies.size < MAX_COOKIES || cookies.has(key)) cookies.set(key, cookie)
      }
    },
    headersFor: (url) => {
      const pairs = [...cookies.values()].filter((cookie) => isFor(cookie, url))
      return pairs.length === 0 ? {} : { cookie: pairs.map(({ pair }) => pair).join('; ') }
    },
  }
}

/** Path, Expires and Max-Age are left out: a chain is over in seconds. */
function parseCookie(text: string, url: URL): Cookie | undefined {
  const [pair = '', ...attributes] = text.split(';').map((part) => part.trim())
  if (text.length > MAX_COOKIE_BYTES || !/^[^=\s]+=[\x20-\x7e]*$/.test(pair)) return undefined
  const attributeOf = (name: string) =>
    attributes
      .find((attribute) => attribute.toLowerCase().split('=')[0]?.trim() === name)
      ?.split('=')[1]
      ?.trim()
  const isSecure = attributes.some((attribute) => attribute.toLowerCase() === 'secure')
  const domain = attributeOf('domain')?.replace(/^\./, '').toLowerCase()
  if (domain === undefined || domain === '') {
    return { host: url.hostname, isForSubdomains: false, isSecure, pair }
  }
  // a name without a dot would be a whole top-level domain
  const isOwn = url.hostname === domain || url.hostname.endsWith(`.${domain}`)
  if (!isOwn || (url.hostname !== domain && !domain.includes('.'))) return undefined
  return { host: domain, isForSubdomains: true, isSecure, pair }
}

function isFor({ host, isForSubdomains, isSecure }: Cookie, url: URL): boolean {
  if (isSecure && url.protocol !== 'https:') return false
  return url.hostname === host || (isForSubdomains && url.hostname.endsWith(`.${host}`))
}
