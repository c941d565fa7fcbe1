// SPDX-License-Identifier: Apache-2.0
// Owns one request with its redirects: how many, how long, and what goes along to the next server. Does not
// open connections and does not retry.
import { redactUrl } from '../core/redact.ts'
import { createCookieJar } from './cookies.ts'
import type { Exchange, Redirect } from './exchange.ts'
import { HttpFailure } from './failure.ts'
import {
  isSameServer,
  mayCarryBody,
  targetOf,
  withCredentials,
  withoutAuthorization,
  withoutCredentials,
} from './target.ts'

export type Followed = Omit<Exchange, 'url' | 'headTimeoutMs'> & {
  /** As the caller has it; it may hold credentials. */
  readonly url: string
}

const MAX_REDIRECTS = 10
/** One read timeout to connect and one for the head; redirects share them. */
const HEAD_TIMEOUTS = 2

/**
 * Sends the request, and again wherever an answer redirects it to.
 * @param send one exchange
 * @throws HttpFailure, or what `send` throws
 */
export async function follow(
  request: Followed,
  send: (hop: Exchange) => Promise<Redirect | undefined>,
): Promise<void> {
  const cookies = createCookieJar()
  const headTimeoutMs = HEAD_TIMEOUTS * request.readTimeoutMs
  const until = performance.now() + headTimeoutMs
  const given = targetOf(request.url)
  let headers = withCredentials(request.headers, given)
  let url = withoutCredentials(given)
  for (let hop = 0; ; hop++) {
    request.signal?.throwIfAborted()
    const remainingMs = until - performance.now()
    if (remainingMs <= 0) {
      throw new HttpFailure(
        'timeout',
        `${redactUrl(request.url)}: ${hop} redirects and no answer within ${headTimeoutMs / 1000} s`,
      )
    }
    const redirect = await send({
      ...request,
      url,
      headers: { ...headers, ...cookies.headersFor(url) },
      headTimeoutMs: remainingMs,
    })
    if (redirect === undefined) return
    if (hop === MAX_REDIRECTS) {
      throw new HttpFailure(
        'redirect',
        `${redactUrl(request.url)}: more than ${MAX_REDIRECTS} redirects`,
      )
    }
    cookies.take(redirect.setCookie, url)
    const next = withoutCredentials(targetOf(redirect.location, url))
    requireBodyAllowed(request, url, next)
    if (!isSameServer(url, next)) headers = withoutAuthorization(headers)
    url = next
  }
}

function requireBodyAllowed(request: Followed, from: URL, to: URL): void {
  if (request.body === undefined || mayCarryBody(from, to)) return
  throw new HttpFailure(
    'redirect',
    `${redactUrl(request.url)}: redirect of a ${request.method} to ${to.origin}; what it carries goes in clear to no other host: let the redirect name https, or the option the right url`,
  )
}
