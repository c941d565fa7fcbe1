// SPDX-License-Identifier: Apache-2.0
// Owns which agents are listened to, and when again after a stream has ended: how many at once, how often one is tried.
// Does not know what is done with the news.
import { type Random, uniform } from '../../core/backoff.ts'
import { anySignal } from '../../core/deadline.ts'
import type { HttpClient } from '../../http/client.ts'
import { type FeedEnd, listenToEvents } from './event-feed.ts'

/** A connection each; more nodes than that are asked now and then. */
export const MOST_FEEDS = 1000
/** After an end, ms: one that has none may be another agent after its next boot. */
const PAUSES: Readonly<Record<FeedEnd, number>> = { over: 5000, full: 60_000, none: 600_000 }

export interface FeedsDeps {
  /** Its disposal is its owner's. */
  readonly client: HttpClient
  readonly signal: AbortSignal
  readonly now: () => number
  readonly random: Random
}

export interface Feeds extends AsyncDisposable {
  /** Listens to this agent from now on, if it is not listened to, may be tried, and there is room. */
  hear(id: string, url: string, onNews: () => void): void
  /** True while nothing of this agent is missed. */
  isLive(id: string): boolean
  forget(id: string): void
}

interface Listening {
  readonly url: string
  readonly stop: AbortController
  isOpen: boolean
  isLive: boolean
  lastEventId: string | null
  nextAt: number
}

export function createFeeds({ client, signal, now, random }: FeedsDeps): Feeds {
  const all = new Map<string, Listening>()
  const underWay = new Set<Promise<void>>()
  const forget = (id: string) => {
    all.get(id)?.stop.abort(new Error('no longer watched'))
    all.delete(id)
  }
  const listen = async (listening: Listening, onNews: () => void): Promise<void> => {
    listening.isOpen = true
    const end = await listenToEvents(listening.url, {
      client,
      signal: anySignal(signal, listening.stop.signal),
      lastEventId: listening.lastEventId,
      onLive: () => {
        listening.isLive = true
      },
      onEvent: (eventId) => {
        listening.lastEventId = eventId ?? listening.lastEventId
        onNews()
      },
    })
    const wasLive = listening.isLive
    listening.isOpen = false
    listening.isLive = false
    listening.nextAt = now() + uniform(random, PAUSES[end] / 2, PAUSES[end])
    if (wasLive && !listening.stop.signal.aborted) onNews()
  }
  return {
    hear: (id, url, onNews) => {
      if (all.get(id)?.url !== url) forget(id)
      const listening = all.get(id) ?? listeningTo(url)
      all.set(id, listening)
      if (listening.isOpen || listening.nextAt > now() || underWay.size >= MOST_FEEDS) return
      const work = listen(listening, onNews).finally(() => underWay.delete(work))
      underWay.add(work)
    },
    isLive: (id) => all.get(id)?.isLive ?? false,
    forget,
    [Symbol.asyncDispose]: async () => {
      for (const id of [...all.keys()]) forget(id)
      await Promise.all(underWay)
    },
  }
}

function listeningTo(url: string): Listening {
  const stop = new AbortController()
  return { url, stop, isOpen: false, isLive: false, lastEventId: null, nextAt: 0 }
}
