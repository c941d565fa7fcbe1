// SPDX-License-Identifier: Apache-2.0
// Owns how patient a download is with its urls (contract 1.2), what ends it, and what is said of a url
// that failed. Does not choose: url-rotation.ts does.
import { AgentError, isAgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { HttpFailure } from '../../http/failure.ts'
import type { HttpImageOptions } from './image-options.ts'
import { createUrlRotation, type ImageUrl, type UrlRotation } from './url-rotation.ts'

/** Where back-off begins; it grows up to image_download_connection_retry_interval. */
const FIRST_WAIT_MS = 500

/**
 * The urls of a download that goes from one to the next until it is done. None is left: AgentError
 * ImageDownloadError with the reason of each. Hopeless: fatal errors, and errors that are not of HTTP.
 */
export function createDownloadUrls(
  options: Pick<HttpImageOptions, 'urls' | 'config' | 'random' | 'log'>,
): UrlRotation {
  const { config, log } = options
  return createUrlRotation({
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
    exhausted,
  })
}

function isHopeless(error: unknown): boolean {
  if (error instanceof HttpFailure) return error.reason === 'aborted'
  return !isAgentError(error) || error.kind === 'fatal' || error.kind === 'operator'
}

function exhausted(urls: readonly ImageUrl[]): AgentError {
  const reasons = urls.map(({ url, failures, reason }) => {
    const attempts = failures === 1 ? '1 failure' : `${failures} failures`
    return `${redactUrl(url)} (${attempts}, last: ${reason})`
  })
  return new AgentError(
    'ImageDownloadError',
    urls.length === 0
      ? 'image_info names no http url'
      : `no url of the image is left to ask: ${reasons.join('; ')}`,
  )
}
