// SPDX-License-Identifier: Apache-2.0
// Owns which of several urls is asked next, after which wait, and when one is out. Sends nothing, logs
// nothing; how patient to be, and what to say, its owner tells (download-urls.ts, range-reader.ts).
import { isTransient, type Random, randomExponential } from '../../core/backoff.ts'
import { sleep } from '../../core/deadline.ts'
import { isAgentError, messageOf } from '../../core/errors.ts'
import { HttpFailure } from '../../http/failure.ts'
import { BadAnswer, type Entity } from './answer.ts'

/** One url and what is known of it. */
export interface ImageUrl {
  readonly url: string
  /** The version of the image it served first. */
  entity: Entity | undefined
  /** Tags, or dates, of all versions it served. */
  readonly versions: Set<string>
  /** A version came back that another had followed: replicas with tags of their own, which say nothing. */
  isReplicated: boolean
  /** It is to be asked for the whole image: Range was refused. */
  isWholeOnly: boolean
  /** How Range was refused last. */
  rangeRefusal: string | undefined
  /** In a row, since it last made progress. */
  readonly failures: number
  /** It is not asked any more. */
  readonly isOut: boolean
  /** Why it failed last, or is out. */
  readonly reason: string
  /** The last failure itself. */
  readonly error: unknown
}

export interface UrlPatience {
  /** Transient failures in a row that a url may have; one more and it is out. */
  readonly retries: number
  /** Where the jittered back-off begins, and how far it grows. */
  readonly firstWaitMs: number
  readonly longestWaitMs: number
  /** The same for what a server wishes by Retry-After. */
  readonly longestWishMs: number
  /** Times that bytes of a url may turn out wrong before it is out. */
  readonly strikes: number
}

export interface UrlRotationOptions {
  /** In the order in which they are asked; one named twice counts once. */
  readonly urls: readonly string[]
  readonly patience: UrlPatience
  readonly random: Random
  /** True for what no url can help against: `failed` throws it. */
  readonly isHopeless: (error: unknown) => boolean
  /** Called after each failure, and after the strike that rules a url out. */
  readonly onFailed: (url: ImageUrl) => void
  /** Called before each wait for a url that failed, with its length, ms. */
  readonly onWait?: (url: ImageUrl, waitMs: number) => void
  /** The error when none is left, or none was given. */
  readonly exhausted: (urls: readonly ImageUrl[]) => Error
}

export interface UrlRotation {
  /** The first in order of those that failed least. Throws `exhausted` when none is left. */
  best(): ImageUrl
  /**
   * The same, after a jittered wait if it has failed since its last progress; not shorter than the server
   * wished by Retry-After, as far as it may wish. Rejects with the reason of `signal`.
   */
  next(signal: AbortSignal): Promise<ImageUrl>
  /** The url brought enough to be trusted again: its retries count anew. */
  progressed(url: ImageUrl): void
  /**
   * The url failed. Transient errors use up one retry, others rule it out.
   * @throws what `isHopeless`
   */
  failed(url: ImageUrl, error: unknown): void
  /** What the url brought was wrong. */
  struck(url: ImageUrl): void
}

interface State extends ImageUrl {
  failures: number
  strikes: number
  isOut: boolean
  reason: string
  error: unknown
}

/** A rotation over all urls of an image, each with its own retries and strikes. */
export function createUrlRotation(options: UrlRotationOptions): UrlRotation {
  const { patience } = options
  const states = [...new Set(options.urls)].map(unknownUrl)
  const stateOf = (url: ImageUrl) => states.find((state) => state === url) as State

  const best = (): ImageUrl => {
    const live = states.filter((state) => !state.isOut)
    const least = Math.min(...live.map((state) => state.failures))
    const chosen = live.find((state) => state.failures === least)
    if (!chosen) throw options.exhausted(states)
    return chosen
  }

  return {
    best,
    next: async (signal) => {
      const chosen = best()
      if (chosen.failures === 0) return chosen
      const ms = waitMs(chosen, options)
      options.onWait?.(chosen, ms)
      await sleep(ms, signal)
      return chosen
    },
    progressed: (url) => {
      stateOf(url).failures = 0
    },
    failed: (url, error) => {
      if (options.isHopeless(error)) throw error
      const state = stateOf(url)
      // of several requests to a url the first that rules it out says why
      if (state.isOut) return
      state.failures++
      state.error = error
      state.reason = reasonOf(error)
      state.isOut = !isTransientHere(error) || state.failures > patience.retries
      options.onFailed(state)
    },
    struck: (url) => {
      const state = stateOf(url)
      if (state.isOut || ++state.strikes < patience.strikes) return
      state.reason = `${state.strikes} pieces from it failed their hash; it serves another image`
      state.isOut = true
      options.onFailed(state)
    },
  }
}

function unknownUrl(url: string): State {
  return {
    url,
    entity: undefined,
    versions: new Set<string>(),
    isReplicated: false,
    isWholeOnly: false,
    rangeRefusal: undefined,
    failures: 0,
    strikes: 0,
    isOut: false,
    reason: '',
    error: undefined,
  }
}

function waitMs({ failures, error }: ImageUrl, { patience, random }: UrlRotationOptions): number {
  const { firstWaitMs, longestWaitMs, longestWishMs } = patience
  const drawn = randomExponential(random, failures, {
    minMs: Math.min(firstWaitMs, longestWaitMs),
    maxMs: longestWaitMs,
  })
  const wished = error instanceof BadAnswer ? error.retryAfterMs : 0
  return Math.max(drawn, Math.min(wished, longestWishMs))
}

/** The fact alone: the table's phrase and the library's own words are in it already. */
export function reasonOf(error: unknown): string {
  if (isAgentError(error)) return error.details
  return error instanceof HttpFailure ? error.message : messageOf(error)
}

/** True if the same url may do better later. */
function isTransientHere(error: unknown): boolean {
  return error instanceof HttpFailure ? error.isTransient : isTransient(error)
}
