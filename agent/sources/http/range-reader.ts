// SPDX-License-Identifier: Apache-2.0
// Owns reading ranges of an image over HTTP for a swarm: fail-over, strikes, one connection per range
// in flight. Does not choose ranges and does not verify pieces.
import { randomExponential } from '../../core/backoff.ts'
import { sleep } from '../../core/deadline.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { endOf, type FileRange } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import { copyToShared } from '../../core/shared-copy.ts'
import { HttpFailure } from '../../http/failure.ts'
import { type RangeReader, RangeUnsupportedError } from '../range-reader.ts'
import {
  BadAnswer,
  type Entity,
  ifRangeOf,
  isOtherEntity,
  judgeHead,
  rangeHeader,
  requireSize,
} from './answer.ts'
import { type HttpImageOptions, imageHeaders } from './image-options.ts'
import { reasonOf } from './url-rotation.ts'

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

interface SeedUrl {
  readonly url: string
  entity: Entity | undefined
  strikes: number
  failures: number
  /** Why it is not asked any more. */
  out: { reason: string; isRangeless: boolean } | undefined
}

/** The origin of a swarm over the image's urls. All state lives here: one reader per image. */
export function createRangeReader(options: RangeReaderOptions): RangeReader {
  const urls: SeedUrl[] = [...new Set(options.urls)].map((url) => ({
    url,
    entity: undefined,
    strikes: 0,
    failures: 0,
    out: undefined,
  }))
  const servedBy = new Map<number, SeedUrl>()
  const counts = { requests: 0, receivedBytes: 0, failures: 0 }

  const ruleOut = (url: SeedUrl, reason: string, isRangeless = false) => {
    if (url.out) return
    url.out = { reason, isRangeless }
    options.log.warn({ url: redactUrl(url.url), reason }, 'web seed ruled out')
  }
  const remember = (offset: number, url: SeedUrl) => {
    servedBy.delete(offset)
    servedBy.set(offset, url)
    if (servedBy.size > REMEMBERED_RANGES) servedBy.delete(servedBy.keys().next().value as number)
  }
  const noteFailure = (url: SeedUrl, error: unknown) => {
    counts.failures++
    url.failures++
    if (error instanceof RangeUnsupportedError) ruleOut(url, error.details, true)
    else if (!isTransientHere(error)) ruleOut(url, reasonOf(error))
  }
  const readOnce = async (
    url: SeedUrl,
    range: FileRange,
    target: Uint8Array,
    signal: AbortSignal,
  ) => {
    counts.requests++
    await fetchRange(options, url, range, target, signal, (bytes) => {
      counts.receivedBytes += bytes
    })
    url.failures = 0
    remember(range.offset, url)
  }

  /** undefined if the range is in `target`, else the failure, which is noted. */
  const attemptOnce = async (
    range: FileRange,
    target: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ error: unknown } | undefined> => {
    const url = leastFailed(urls)
    if (!url) throw allOut(urls)
    if (url.failures > 0) await sleep(waitMs(options, url.failures), signal)
    try {
      await readOnce(url, range, target, signal)
      return undefined
    } catch (error) {
      if (signal.aborted) throw error
      noteFailure(url, error)
      return { error }
    }
  }

  return {
    readRange: async (range, target, signal) => {
      requireRoom(range, target, options.totalBytes)
      let failure: { error: unknown } | undefined
      for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
        signal.throwIfAborted()
        failure = await attemptOnce(range, target, signal)
        if (!failure) return
      }
      if (!leastFailed(urls)) throw allOut(urls)
      throw new AgentError(
        'ImageDownloadError',
        `bytes ${range.offset}-${endOf(range) - 1}: ${MAX_ATTEMPTS} attempts failed, last: ${reasonOf(failure?.error)}`,
        { kind: 'transient', cause: failure?.error },
      )
    },
    reportCorrupt: (range) => {
      const url = servedBy.get(range.offset)
      if (!url) return
      url.strikes++
      if (url.strikes >= MAX_STRIKES) {
        ruleOut(url, `${url.strikes} pieces from it failed their hash; it serves another image`)
      }
    },
    stats: () => ({ ...counts, liveUrls: urls.filter((url) => !url.out).length }),
  }
}

function requireRoom(range: FileRange, target: Uint8Array, totalBytes: number): void {
  if (range.length > 0 && target.length >= range.length && endOf(range) <= totalBytes) return
  throw new RangeError(
    `range ${range.offset}+${range.length} of ${totalBytes} bytes into ${target.length} bytes`,
  )
}

/** The first in order among those that failed least. */
function leastFailed(urls: readonly SeedUrl[]): SeedUrl | undefined {
  const live = urls.filter((url) => !url.out)
  const least = Math.min(...live.map((url) => url.failures))
  return live.find((url) => url.failures === least)
}

function waitMs(options: RangeReaderOptions, failures: number): number {
  const intervalMs = options.config.image_download_connection_retry_interval * 1000
  const maxMs = Math.min(intervalMs, LONGEST_WAIT_MS)
  return randomExponential(options.random, failures, {
    minMs: Math.min(FIRST_WAIT_MS, maxMs),
    maxMs,
  })
}

function isTransientHere(error: unknown): boolean {
  if (error instanceof HttpFailure) return error.isTransient
  return isAgentError(error) && error.kind === 'transient'
}

function allOut(urls: readonly SeedUrl[]): AgentError {
  const reasons = urls.map(({ url, out }) => `${redactUrl(url)} (${out?.reason})`).join('; ')
  if (urls.some(({ out }) => out?.isRangeless)) return new RangeUnsupportedError(reasons)
  return new AgentError(
    'ImageDownloadError',
    urls.length === 0 ? 'no web seed is known' : `no web seed is left: ${reasons}`,
  )
}

/** One request. Bytes go from the parser's buffer into `target`, nowhere else. */
async function fetchRange(
  options: RangeReaderOptions,
  url: SeedUrl,
  range: FileRange,
  target: Uint8Array,
  signal: AbortSignal,
  onReceived: (bytes: number) => void,
): Promise<void> {
  let filled = 0
  const where = redactUrl(url.url)
  await options.client.stream(
    url.url,
    {
      headers: { ...imageHeaders(options), range: rangeHeader(range), ...ifRangeOf(url.entity) },
      signal,
      readTimeoutMs: options.config.image_download_connection_timeout * 1000,
    },
    {
      onHead: (head) => {
        const answer = judgeHead(head, range)
        requireSize(answer, options.totalBytes, url.url)
        if (isOtherEntity(url.entity, answer.entity)) throw changed(where, url, answer.entity)
        if (!answer.isPartial) {
          throw new RangeUnsupportedError(`${where}: status 200 to a Range request`)
        }
        url.entity = answer.entity
      },
      onBytes: (bytes) => {
        onReceived(bytes.length)
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

function changed(where: string, url: SeedUrl, now: Entity): BadAnswer {
  const [before, after] = [url.entity, now].map((entity) => entity?.etag ?? entity?.lastModified)
  return new BadAnswer(
    `${where}: the image changed on the server from ${before} to ${after}`,
    'source',
    206,
  )
}
