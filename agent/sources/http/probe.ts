// SPDX-License-Identifier: Apache-2.0
// Owns the question how large an image is and whether its server knows ranges. Fetches no image bytes
// to speak of.
import { AgentError } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import type { HttpFlow } from '../../http/exchange.ts'
import { BadAnswer, judgeHead, rangeHeader } from './answer.ts'
import { createDownloadUrls } from './download-urls.ts'
import { type HttpImageOptions, imageHeaders, patienceOf } from './image-options.ts'
import { turnsToWhole } from './range-refusal.ts'
import type { ImageUrl } from './url-rotation.ts'

export interface ImageProbe {
  /** Size of the image, bytes; null if the server does not tell. */
  readonly sizeBytes: number | null
  readonly acceptsRanges: boolean
  /** The url that answered; one of those asked, not where it redirected to. */
  readonly url: string
}

/**
 * Asks for one byte: a HEAD would be refused where the url is signed for GET. Where Range is refused the
 * whole image is asked for, and broken off after its head. Fails over and retries as a delivery does.
 * @throws AgentError ImageDownloadError, ImageDownloadFatalError (401), or the reason of `signal`
 */
export async function probeImage(
  options: HttpImageOptions,
  signal: AbortSignal,
): Promise<ImageProbe> {
  const urls = createDownloadUrls(options)
  for (;;) {
    const url = await urls.next(signal)
    try {
      return await probeOnce(options, url, signal)
    } catch (error) {
      if (signal.aborted) throw error
      if (!turnsToWhole(url, error)) urls.failed(url, error)
    }
  }
}

async function probeOnce(
  options: HttpImageOptions,
  { url, isWholeOnly }: ImageUrl,
  signal: AbortSignal,
): Promise<ImageProbe> {
  const range = isWholeOnly ? undefined : { offset: 0, length: 1 }
  let probe: ImageProbe | undefined
  const onHead = (answer: ReturnType<typeof judgeHead>, flow: HttpFlow) => {
    // the part that was asked for, taken for the whole
    if (range && answer.totalBytes === range.length) {
      throw new BadAnswer(`${redactUrl(url)}: an image of 1 byte`, 'source', 206)
    }
    probe = {
      sizeBytes: answer.totalBytes,
      acceptsRanges: answer.isPartial,
      url,
    }
    flow.stop()
  }
  await options.client.stream(
    url,
    {
      headers: { ...imageHeaders(options, url), ...(range ? { range: rangeHeader(range) } : {}) },
      signal,
      ...patienceOf(options.config),
    },
    {
      onHead: (head, flow) => onHead(judgeHead(head, range), flow),
      onBytes: () => {},
    },
  )
  if (probe) return probe
  throw new AgentError('ImageDownloadError', 'the server ended the exchange without an answer', {
    kind: 'transient',
  })
}
