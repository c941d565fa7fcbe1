// SPDX-License-Identifier: Apache-2.0
// Owns reading ranges of an image over HTTP for a swarm: fail-over, strikes, one connection per range
// in flight. Does not choose ranges and does not verify pieces.
import { AgentError } from '../../core/errors.ts'
import { endOf, type FileRange } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import { copyToShared } from '../../core/shared-copy.ts'
import { type RangeReader, RangeUnsupportedError } from '../range-reader.ts'
import { BadAnswer, judgeHead, rangeHeader, requireSize } from './answer.ts'
import { type HttpImageOptions, imageHeaders, patienceOf } from './image-options.ts'
import { createUrlRotation, type ImageUrl, reasonOf, type UrlRotation } from './url-rotation.ts'

export type RangeReaderOptions = HttpImageOptions & {
  /** Length of the image, bytes: a server with another one is not asked again. */
  readonly totalBytes: number
}

/** Pieces that fail their hash before a url is not asked again (a mirror of another image). */
const MAX_STRIKES = 3
/** Which url a range came from is remembered for this many ranges. */
const REMEMBERED_RANGES = 4096
/** Attempts of one range; the swarm engine asks again, perhaps another peer. */
const MAX_ATTEMPTS = 4
/** A swarm must not stand still longer than this for an origin that is back. */
const LONGEST_WAIT_MS = 2000
const FIRST_WAIT_MS = 200

/** The origin of a swarm over the image's urls. All state lives here: one reader per image. */
export function createRangeReader(options: RangeReaderOptions): RangeReader {
  return new OriginReader(options)
}

class OriginReader implements RangeReader {
  readonly #options: RangeReaderOptions
  readonly #urls: UrlRotation
  /** By the offset of a range, the latest last. */
  readonly #servedBy = new Map<number, ImageUrl>()

  constructor(options: RangeReaderOptions) {
    this.#options = options
    this.#urls = rotationOf(options)
  }

  async readRange(range: FileRange, target: Uint8Array, signal: AbortSignal): Promise<void> {
    requireRoom(range, target, this.#options.totalBytes)
    let failure: { error: unknown } | undefined
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      signal.throwIfAborted()
      failure = await this.#attemptOnce(range, target, signal)
      if (!failure) return
    }
    // when none is left the reason of each is worth more than the last failure
    this.#urls.best()
    throw new AgentError(
      'ImageDownloadError',
      `bytes ${range.offset}-${endOf(range) - 1}: ${MAX_ATTEMPTS} attempts failed, last: ${reasonOf(failure?.error)}`,
      { kind: 'transient', cause: failure?.error },
    )
  }

  reportCorrupt(range: FileRange): void {
    const url = this.#servedBy.get(range.offset)
    if (url) this.#urls.struck(url)
  }

  /** undefined if the range is in `target`, else the failure, which is noted. */
  async #attemptOnce(
    range: FileRange,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ error: unknown } | undefined> {
    const url = await this.#urls.next(signal)
    try {
      await fetchRange(this.#options, url, range, target, signal)
      this.#urls.progressed(url)
      this.#remember(range.offset, url)
      return undefined
    } catch (error) {
      if (signal.aborted) throw error
      this.#urls.failed(url, error)
      return { error }
    }
  }

  #remember(offset: number, url: ImageUrl): void {
    const served = this.#servedBy
    served.delete(offset)
    served.set(offset, url)
    if (served.size > REMEMBERED_RANGES) served.delete(served.keys().next().value as number)
  }
}

function rotationOf({ urls, config, random, log }: RangeReaderOptions): UrlRotation {
  return createUrlRotation({
    urls,
    patience: {
      // a server that is down today may carry the swarm tomorrow: only what is no use rules it out
      retries: Number.POSITIVE_INFINITY,
      firstWaitMs: FIRST_WAIT_MS,
      longestWaitMs: Math.min(
        config.image_download_connection_retry_interval * 1000,
        LONGEST_WAIT_MS,
      ),
      // all nodes that are refused together would come again together, and peers go on meanwhile
      longestWishMs: 0,
      strikes: MAX_STRIKES,
    },
    random,
    // peers go on without the origin
    isHopeless: () => false,
    onFailed: ({ url, reason, isOut }) => {
      if (isOut) log.warn({ url: redactUrl(url), reason }, 'web seed ruled out')
    },
    exhausted,
  })
}

function requireRoom(range: FileRange, target: Uint8Array, totalBytes: number): void {
  if (range.length > 0 && target.length >= range.length && endOf(range) <= totalBytes) return
  throw new RangeError(
    `range ${range.offset}+${range.length} of ${totalBytes} bytes into ${target.length} bytes`,
  )
}

function exhausted(urls: readonly ImageUrl[]): AgentError {
  const reasons = urls.map(({ url, reason }) => `${redactUrl(url)} (${reason})`).join('; ')
  if (urls.some(({ error }) => error instanceof RangeUnsupportedError)) {
    return new RangeUnsupportedError(reasons)
  }
  return new AgentError(
    'ImageDownloadError',
    urls.length === 0 ? 'no web seed is known' : `no web seed is left: ${reasons}`,
  )
}

/**
 * One request. Whether it is the same version of the image as before is not asked: replicas of the same bytes
 * have tags of their own, and each piece is held to its hash. Bytes go from the parser's buffer into `target`,
 * nowhere else.
 */
async function fetchRange(
  options: RangeReaderOptions,
  url: ImageUrl,
  range: FileRange,
  target: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  let filled = 0
  const where = redactUrl(url.url)
  await options.client.stream(
    url.url,
    {
      headers: {
        ...imageHeaders(options, url.url),
        range: rangeHeader(range),
      },
      signal,
      ...patienceOf(options.config),
    },
    {
      onHead: (head) => {
        const answer = judgeHead(head, range)
        requireSize(answer, options.totalBytes, url.url)
        if (!answer.isPartial) {
          throw new RangeUnsupportedError(`${where}: status 200 to a Range request`)
        }
      },
      onBytes: (bytes) => {
        if (filled + bytes.length > range.length) throw wrongLength(where, range, '> ')
        copyToShared(target, bytes, filled)
        filled += bytes.length
      },
    },
  )
  if (filled !== range.length) throw wrongLength(where, range, `${filled} of `)
}

function wrongLength(where: string, range: FileRange, had: string): BadAnswer {
  return new BadAnswer(
    `${where}: ${had}${range.length} bytes came for bytes ${range.offset}-${endOf(range) - 1}`,
    'transient',
    206,
  )
}
