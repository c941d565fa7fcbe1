// SPDX-License-Identifier: Apache-2.0
// Owns how patient a download is with its urls (contract 1.2), what ends it, and what is said of a url
// that failed. Does not choose: url-rotation.ts does.
import { AgentError, isAgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { HttpFailure } from '../../http/failure.ts'
import { BadAnswer } from './answer.ts'
import { type HttpImageOptions, type ImageAuthorization, isWithheld } from './image-options.ts'
import { createUrlRotation, type ImageUrl, type UrlRotation } from './url-rotation.ts'

/** Where back-off begins; it grows up to image_download_connection_retry_interval. */
const FIRST_WAIT_MS = 500

/**
 * The urls of a download that goes from one to the next until it is done. None is left: AgentError
 * ImageDownloadError with the reason of each. Hopeless: fatal errors, and errors that are not of HTTP.
 */
export function createDownloadUrls(
  options: Pick<HttpImageOptions, 'urls' | 'authorization' | 'config' | 'random' | 'log'>,
): UrlRotation {
  const { config, log, authorization } = options
  const rotation = createUrlRotation({
    urls: options.urls,
    patience: {
      retries: config.image_download_connection_retries,
      firstWaitMs: FIRST_WAIT_MS,
      longestWaitMs: config.image_download_connection_retry_interval * 1000,
      longestWishMs: config.image_download_connection_retry_interval * 1000,
      // the whole image is judged at its end, by its hash: no url can be told guilty
      strikes: Number.POSITIVE_INFINITY,
    },
    random: options.random,
    isHopeless,
    onFailed: ({ url, reason, failures, isOut }) => {
      log.warn({ url: redactUrl(url), reason, failures, ruled_out: isOut }, 'image url failed')
    },
    onWait: ({ url, reason, failures }, waitMs) => {
      const attempts = config.image_download_connection_retries + 1
      const facts = { attempt: failures + 1, attempts, wait_ms: Math.round(waitMs) }
      log.info({ url: redactUrl(url), reason, ...facts }, 'image url asked again')
    },
    exhausted,
  })
  return {
    ...rotation,
    failed: (url, error) => rotation.failed(url, withoutCredentials(url, error, authorization)),
  }
}

/** A 401 is fatal, for credentials are one for all; but not from a server that was shown none. */
function withoutCredentials(
  { url }: ImageUrl,
  error: unknown,
  authorization: ImageAuthorization | undefined,
): unknown {
  const isShown = !authorization || !isWithheld(authorization, url)
  if (isShown || !(error instanceof BadAnswer) || error.httpStatus !== 401) return error
  return new BadAnswer(
    `${redactUrl(url)}: status 401; the image's credentials are for ${URL.parse(authorization.server)?.host} and were not sent: put user and password into this url`,
    'source',
    401,
  )
}

function isHopeless(error: unknown): boolean {
  if (error instanceof HttpFailure) return error.reason === 'aborted'
  return !isAgentError(error) || error.kind === 'fatal' || error.kind === 'operator'
}

function exhausted(urls: readonly ImageUrl[]): AgentError {
  const reasons = urls.map(({ url, failures, reason, rangeRefusal }) => {
    const attempts = failures === 1 ? '1 failure' : `${failures} failures`
    const range = rangeRefusal && rangeRefusal !== reason ? `; to a Range: ${rangeRefusal}` : ''
    return `${redactUrl(url)} (${attempts}, last: ${reason}${range})`
  })
  return new AgentError(
    'ImageDownloadError',
    urls.length === 0
      ? 'image_info names no http url'
      : `no url of the image is left to ask: ${reasons.join('; ')}`,
  )
}
