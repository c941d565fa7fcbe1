// SPDX-License-Identifier: Apache-2.0
// Owns when trackers are asked: every few seconds while downloading or until one has answered, also right
// after an error, and never sooner because a tracker says so. Does not speak the tracker protocols.
import type { AnnounceTarget } from '../announce/trackers.ts'

/** Nodes that start together must find each other within seconds; jitter keeps them from a stampede. */
const DOWNLOADING_MS = { min: 2000, max: 3000 }
const SEEDING_MS = { min: 25_000, max: 35_000 }
/** A seed that no tracker knows of is of use to nobody; one that never answers is left alone in the end. */
const UNKNOWN_MS = 120_000
/** A tracker that does not answer is asked again after this long, not every round. */
const BUSY_PATIENCE_MS = 10_000

export interface Announcer {
  /** Until the next round, s. */
  readonly nextInSeconds: number
  stop(): void
}

export function createAnnouncer(options: {
  targets(): readonly AnnounceTarget[]
  isDownloading(): boolean
  /** A tracker has answered at least once. */
  isKnown(): boolean
  readonly random: () => number
  readonly now: () => number
}): Announcer {
  const askedAt = new Map<string, number>()
  const startedAt = options.now()
  let timer: NodeJS.Timeout
  let nextAt = startedAt

  function schedule(): void {
    const isUnknown = !options.isKnown() && options.now() - startedAt < UNKNOWN_MS
    const { min, max } = options.isDownloading() || isUnknown ? DOWNLOADING_MS : SEEDING_MS
    const waitMs = min + options.random() * (max - min)
    nextAt = options.now() + waitMs
    timer = setTimeout(round, waitMs)
  }

  function round(): void {
    for (const target of options.targets()) {
      const silentMs = options.now() - (askedAt.get(target.url) ?? 0)
      if (target.isBusy && silentMs < BUSY_PATIENCE_MS) continue
      askedAt.set(target.url, options.now())
      target.announce()
    }
    schedule()
  }

  schedule()
  return {
    get nextInSeconds() {
      return Math.max(0, Math.round((nextAt - options.now()) / 1000))
    },
    stop: () => clearTimeout(timer),
  }
}
