// SPDX-License-Identifier: Apache-2.0
// Owns the size of an image before it is fetched: a probe, the length of a file, and for a server that
// tells no length a download that only counts. Does not compare it with anything.
import { stat } from 'node:fs/promises'
import { AgentError, messageOf } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { pathOf } from '../../sources/file.ts'
import { judgeHead } from '../../sources/http/answer.ts'
import {
  type HttpImageOptions,
  imageHeaders,
  patienceOf,
} from '../../sources/http/image-options.ts'
import { type ImageProbe, probeImage } from '../../sources/http/probe.ts'
import type { ImageAnswers } from './plan.ts'

/** With a torrent at hand the origin is not worth waiting for: it told the size, and peers may have it. */
const QUICK_RETRIES = 1
const QUICK_MS = 10_000

/** Asks the first url that answers; a `file:` url is asked of the file system. */
export async function askForSize(
  http: HttpImageOptions,
  signal: AbortSignal,
  isQuick: boolean,
): Promise<ImageProbe> {
  const file = http.urls.find((url) => url.startsWith('file:'))
  if (file !== undefined) return await sizeOfFile(file)
  if (!isQuick) return await probeImage(http, signal)
  const config = { ...http.config, image_download_connection_retries: QUICK_RETRIES }
  const quick = AbortSignal.any([signal, AbortSignal.timeout(QUICK_MS)])
  return await probeImage({ ...http, config }, quick)
}

/**
 * Length of the file, bytes: as its server says, else its torrent, else counted up to `limitBytes`.
 * Throws ImageDownloadError with the reason of each url if it is not to be had.
 */
export async function sizeOfImage(
  { serverBytes, metainfo }: Pick<ImageAnswers, 'serverBytes' | 'metainfo'>,
  http: HttpImageOptions,
  limitBytes: number,
  signal: AbortSignal,
): Promise<number> {
  return serverBytes ?? metainfo?.lengthBytes ?? (await countBytes(http, limitBytes, signal))
}

/**
 * The number of bytes of an image whose server names no length, by fetching and dropping them: a too
 * large image is refused before the disk is touched, and every source knows its end. Stops beyond
 * `limitBytes`. Throws ImageDownloadError with the reason of each url.
 */
async function countBytes(
  http: HttpImageOptions,
  limitBytes: number,
  signal: AbortSignal,
): Promise<number> {
  const reasons: string[] = []
  for (const url of http.urls) {
    try {
      return await countOnce(http, url, limitBytes, signal)
    } catch (error) {
      if (signal.aborted) throw error
      reasons.push(`${redactUrl(url)}: ${messageOf(error)}`)
    }
  }
  throw new AgentError(
    'ImageDownloadError',
    `no server names the image's length, and counting failed: ${reasons.join('; ')}`,
  )
}

async function countOnce(
  http: HttpImageOptions,
  url: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<number> {
  let bytes = 0
  let stop = () => {}
  await http.client.stream(
    url,
    { headers: imageHeaders(http, url), signal, ...patienceOf(http.config) },
    {
      onHead: (head, flow) => {
        judgeHead(head, undefined)
        stop = () => flow.stop()
      },
      onBytes: (part) => {
        bytes += part.length
        if (bytes > limitBytes) stop()
      },
    },
  )
  return bytes
}

async function sizeOfFile(url: string): Promise<ImageProbe> {
  try {
    const { size } = await stat(pathOf(url))
    return { sizeBytes: size, acceptsRanges: false, url }
  } catch (error) {
    throw new AgentError('ImageDownloadError', `${url}: ${messageOf(error)}`, { cause: error })
  }
}
