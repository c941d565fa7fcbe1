// SPDX-License-Identifier: Apache-2.0
// Owns the trackers of one torrent together: the first announce, the end of the download, the farewell. What each is
// told is tracker.ts's. How often they would like to be asked is not read.
import type { TrackerFigures } from '../../../core/events.ts'
import { createHttpClient, type HttpClientSettings } from '../../../http/client.ts'
import { trackerLabel } from '../torrent/trackers.ts'
import { Tracker, type TrackerDeps } from './tracker.ts'

export interface AnnounceTarget {
  readonly url: string
  /** An answer is awaited. */
  readonly isBusy: boolean
  announce(): void
}

export interface TrackersOptions extends TrackerDeps {
  readonly urls: readonly string[]
  /** Whom to trust over TLS. */
  readonly http: HttpClientSettings
}

export interface Trackers {
  readonly targets: readonly AnnounceTarget[]
  /** Each as it is now; when it is asked again is not known here. */
  figures(): TrackerFigures[]
  /** Everything has been fetched: says so, to each tracker once. */
  complete(): void
  /** Says goodbye, as far as that is possible within `deadlineMs`. */
  close(deadlineMs: number): Promise<void>
}

/** Begins with a first announce to each. Throws InvalidConfigError for certificate files that cannot be used. */
export function startTrackers(options: TrackersOptions): Trackers {
  const client = createHttpClient({ config: options.http })
  const trackers = options.urls.map((url, index) => {
    const label = trackerLabel(url)
    const isTwin = options.urls.some((other, at) => at < index && trackerLabel(other) === label)
    // two users of one tracker look alike without their passkeys
    return new Tracker(url, isTwin ? `${label} (${index + 1})` : label, client, options)
  })
  let isCompleted = false
  for (const tracker of trackers) tracker.announce()
  return {
    targets: trackers,
    figures: () => trackers.map((tracker) => tracker.figures()),
    complete: () => {
      if (isCompleted) return
      isCompleted = true
      for (const tracker of trackers) tracker.complete()
    },
    close: async (deadlineMs) => {
      await Promise.all(trackers.map((tracker) => tracker.close(deadlineMs)))
      await client[Symbol.asyncDispose]()
    },
  }
}
