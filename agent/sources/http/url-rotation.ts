// SPDX-License-Identifier: Apache-2.0
// Owns which url of an image is asked next, after which wait, and when there is none left. Sends nothing.
import { randomExponential } from '../../core/backoff.ts'
import { sleep } from '../../core/deadline.ts'
import { AgentError, isAgentError, messageOf } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { HttpFailure } from '../../http/failure.ts'
import { BadAnswer, type Entity } from './answer.ts'
import type { HttpImageOptions } from './image-options.ts'

/** One url and what is known of it. */
export interface ImageUrl {
  readonly url: string
  /** The version of the image it served first. */
  entity: Entity | undefined
}

export interface UrlRotation {
  /**
   * The url to ask now: the first in order that failed least. A url that failed before is only given out
   * after a jittered wait.
   * @throws AgentError ImageDownloadError with the reason of each url when none is left
   */
  next(signal: AbortSignal): Promise<ImageUrl>
  /** The url brought enough to be trusted again: its retries count anew. */
  progressed(url: ImageUrl): void
  /**
   * The url failed. Transient errors use up one retry, others rule it out.
   * @throws what no url can help against: fatal errors, and errors that are not of HTTP
   */
  failed(url: ImageUrl, error: unknown): void
}

/** Where back-off begins; it grows up to image_download_connection_retry_interval. */
const FIRST_WAIT_MS = 500

interface State extends ImageUrl {
  failures: number
  isOut: boolean
  waitMs: number
  reason: string
}

/** A rotation over all urls of an image, each with its own retries. */
export function createUrlRotation(
  options: Pick<HttpImageOptions, 'urls' | 'config' | 'random' | 'log'>,
): UrlRotation {
  const { config, random, log } = options
  const retries = config.image_download_connection_retries
  const longestWaitMs = config.image_download_connection_retry_interval * 1000
  const states: State[] = [...new Set(options.urls)].map((url) => ({
    url,
    entity: undefined,
    failures: 0,
    isOut: false,
    waitMs: 0,
    reason: '',
  }))
  const stateOf = (url: ImageUrl) => states.find((state) => state === url) as State

  return {
    next: async (signal) => {
      const live = states.filter((state) => !state.isOut)
      const least = Math.min(...live.map((state) => state.failures))
      const chosen = live.find((state) => state.failures === least)
      if (!chosen) throw exhausted(states)
      if (chosen.waitMs > 0) await sleep(chosen.waitMs, signal)
      chosen.waitMs = 0
      return chosen
    },
    progressed: (url) => {
      stateOf(url).failures = 0
    },
    failed: (url, error) => {
      const state = stateOf(url)
      const isTransient = isTransientHere(error)
      state.failures++
      state.reason = reasonOf(error)
      state.isOut = !isTransient || state.failures > retries
      const wait = randomExponential(random, state.failures, {
        minMs: Math.min(FIRST_WAIT_MS, longestWaitMs),
        maxMs: longestWaitMs,
      })
      const wished = error instanceof BadAnswer ? error.retryAfterMs : 0
      state.waitMs = Math.min(Math.max(wait, wished), longestWaitMs)
      log.warn(
        {
          url: redactUrl(url.url),
          reason: state.reason,
          failures: state.failures,
          ruled_out: state.isOut,
        },
        'image url failed',
      )
    },
  }
}

/** The fact alone: the table's phrase and the library's own words are in it already. */
export function reasonOf(error: unknown): string {
  if (isAgentError(error)) return error.details
  return error instanceof HttpFailure ? error.message : messageOf(error)
}

/** True to ask this url again, false to go to the next one; throws what ends the download. */
function isTransientHere(error: unknown): boolean {
  if (error instanceof HttpFailure) {
    if (error.reason === 'aborted') throw error
    return error.isTransient
  }
  if (isAgentError(error) && error.kind === 'transient') return true
  if (isAgentError(error) && error.kind === 'source') return false
  throw error
}

function exhausted(states: readonly State[]): AgentError {
  const reasons = states.map((state) => {
    const attempts = state.failures === 1 ? '1 failure' : `${state.failures} failures`
    return `${redactUrl(state.url)} (${attempts}, last: ${state.reason})`
  })
  return new AgentError(
    'ImageDownloadError',
    states.length === 0
      ? 'image_info names no http url'
      : `no url of the image is left to ask: ${reasons.join('; ')}`,
  )
}
