// SPDX-License-Identifier: Apache-2.0
// Owns fetching something small into memory: checksum files, torrents, config drives. Bounded in size,
// time and retries.
import { AgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { HttpFailure } from '../../http/failure.ts'
import { judgeHead } from './answer.ts'
import { createDownloadUrls } from './download-urls.ts'
import { type HttpImageOptions, imageHeaders } from './image-options.ts'

export type FetchSmallOptions = Omit<HttpImageOptions, 'urls'> & {
  readonly url: string
  /** Longest body that is taken, bytes. */
  readonly maxBytes: number
}

/**
 * The body at `url`, with the retries of a download.
 * @throws AgentError ImageDownloadError (also for a body over `maxBytes`), ImageDownloadFatalError (401),
 *   or the reason of `signal`
 */
export async function fetchSmall(
  options: FetchSmallOptions,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const urls = createDownloadUrls({ ...options, urls: [options.url] })
  for (;;) {
    const url = await urls.next(signal)
    try {
      return await fetchOnce(options, signal)
    } catch (error) {
      if (signal.aborted) throw error
      if (error instanceof HttpFailure && error.reason === 'too-large')
        throw tooLarge(options, error)
      urls.failed(url, error)
    }
  }
}

async function fetchOnce(options: FetchSmallOptions, signal: AbortSignal): Promise<Uint8Array> {
  const { config } = options
  const readTimeoutMs = config.image_download_connection_timeout * 1000
  const response = await options.client.request(options.url, {
    headers: imageHeaders(options, options.url),
    signal,
    maxBytes: options.maxBytes,
    // connect, head and body may each take one read timeout
    timeoutMs: 3 * readTimeoutMs,
  })
  judgeHead(response, undefined)
  return response.bytes
}

function tooLarge(options: FetchSmallOptions, cause: HttpFailure): AgentError {
  return new AgentError(
    'ImageDownloadError',
    `${redactUrl(options.url)}: longer than ${options.maxBytes} bytes, the limit for such a file`,
    { cause },
  )
}
