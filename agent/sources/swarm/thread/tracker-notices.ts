// SPDX-License-Identifier: Apache-2.0
// Owns what is said of the trackers of one torrent: each change once, whichever worker found it. Does not ask
// them; announce/tracker.ts does.
import type { EventPublisher, TrackerState } from '../../../core/events.ts'

export class TrackerNotices {
  readonly #infoHash: string
  readonly #events: EventPublisher
  readonly #failing = new Set<string>()

  constructor(infoHash: string, events: EventPublisher) {
    this.#infoHash = infoHash
    this.#events = events
  }

  /** What a worker finds anew may be known from the one before it. @param reason why it fails */
  note(tracker: string, state: TrackerState, reason = ''): void {
    if (this.#failing.has(tracker) === (state === 'failing')) return
    if (state === 'failing') this.#failing.add(tracker)
    else this.#failing.delete(tracker)
    this.#events.publish({
      type: 'tracker',
      tracker,
      state,
      reason: state === 'failing' ? reason : null,
      fields: { info_hash: this.#infoHash },
    })
  }

  /** The torrent is left: those that fail are nobody's trouble any more. */
  leave(): void {
    for (const tracker of this.#failing) this.note(tracker, 'left')
  }
}
