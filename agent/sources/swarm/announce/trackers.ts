// SPDX-License-Identifier: Apache-2.0
// Owns the trackers of one torrent: what each is told, and what comes of it. Does not say when they are
// asked; session/announcer.ts does. How often they would like to be asked is not read.
import { messageOf } from '../../../core/errors.ts'
import type { TrackerFigures } from '../../../core/events.ts'
import { redactText } from '../../../core/redact.ts'
import { createHttpClient, type HttpClient, type HttpClientSettings } from '../../../http/client.ts'
import { HttpFailure } from '../../../http/failure.ts'
import { trackerLabel, trackerSecrets } from '../torrent/trackers.ts'
import {
  type AnnounceEvent,
  type AnnounceFigures,
  type Announcement,
  type TrackerAnswer,
  TrackerRefusal,
} from './announcement.ts'
import { announceByHttp } from './http-announce.ts'
import { createTrackerHealth, type TrackerState } from './tracker-health.ts'
import { announceByUdp } from './udp-announce.ts'

/** More than connections, so that neighbours are among them; opentracker gives no more. */
const WANTED_ADDRESSES = 200
/** One request, from the look-up of the name to the last byte of the answer. */
const ANNOUNCE_MS = 15_000

export interface AnnounceTarget {
  readonly url: string
  /** An answer is awaited. */
  readonly isBusy: boolean
  announce(): void
}

/** What is to be known of a tracker by people. */
export interface TrackerNews {
  /** The url without what may be a secret. */
  readonly tracker: string
  readonly state: TrackerState
  /** Of the tracker, or what went wrong; empty while it answers. No secret of the url is in it. */
  readonly words: string
}

export interface TrackersOptions {
  readonly urls: readonly string[]
  /** Whom to trust over TLS. */
  readonly http: HttpClientSettings
  /** Hex. */
  readonly infoHash: string
  /** Hex. */
  readonly peerId: string
  readonly port: number
  figures(): AnnounceFigures
  onAnswer(answer: TrackerAnswer): void
  onNews(news: TrackerNews): void
  /** A tracker has said something that hinders nothing. */
  onRemark(tracker: string, words: string): void
  readonly now: () => number
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
    return createTracker(url, isTwin ? `${label} (${index + 1})` : label, client, options)
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

interface Tracker extends AnnounceTarget {
  figures(): TrackerFigures
  complete(): void
  close(deadlineMs: number): Promise<void>
}

function createTracker(
  url: string,
  label: string,
  client: HttpClient,
  options: TrackersOptions,
): Tracker {
  const infoHash = Buffer.from(options.infoHash, 'hex')
  const peerId = Buffer.from(options.peerId, 'hex')
  const isUdp = /^udp:/i.test(url)
  const secrets = trackerSecrets(url)
  const health = createTrackerHealth(options.now, (state, words) =>
    options.onNews({ tracker: label, state, words }),
  )
  const underWay = new Set<AbortController>()
  let trackerId: Uint8Array | undefined
  let remark = ''
  let isKnown = false
  let owesCompleted = false
  let isClosed = false
  let askedAt: number | undefined
  let said: Pick<TrackerFigures, 'state' | 'words' | 'nodes'> = {
    state: 'not asked yet',
    words: '',
    nodes: null,
  }

  async function request(event: AnnounceEvent | undefined, deadlineMs: number) {
    const over = new AbortController()
    const late = setTimeout(() => over.abort(lateAfter(deadlineMs)), deadlineMs)
    underWay.add(over)
    try {
      const { port, figures } = options
      const about = { infoHash, peerId, port, trackerId, event, numwant: WANTED_ADDRESSES }
      const announcement: Announcement = { ...figures(), ...about }
      return isUdp
        ? await announceByUdp(url, announcement, over.signal)
        : await announceByHttp(client, url, announcement, over.signal)
    } finally {
      clearTimeout(late)
      underWay.delete(over)
    }
  }

  async function tell(event: AnnounceEvent | undefined): Promise<void> {
    askedAt = options.now()
    try {
      const answer = await request(event, ANNOUNCE_MS)
      if (!isClosed) take(answer, event)
    } catch (error) {
      if (isClosed) return
      const words = strikeOut(describe(error), secrets)
      said = { state: 'failing', words, nodes: null }
      health.failed(words)
    }
  }

  function take(answer: TrackerAnswer, event: AnnounceEvent | undefined): void {
    trackerId = answer.trackerId ?? trackerId
    isKnown = true
    if (event === 'completed') owesCompleted = false
    health.answered()
    const words = strikeOut(answer.warning ?? '', secrets)
    said = { state: 'answering', words, nodes: answer.nodes ?? null }
    if (words !== '' && words !== remark) options.onRemark(label, words)
    remark = words
    options.onAnswer(answer)
  }

  return {
    url,
    figures: () => ({
      tracker: label,
      ...said,
      askedSecondsAgo: askedAt === undefined ? null : Math.round((options.now() - askedAt) / 1000),
      nextInSeconds: null,
    }),
    get isBusy() {
      return underWay.size > 0
    },
    announce: () => {
      if (!isClosed) void tell(isKnown ? (owesCompleted ? 'completed' : undefined) : 'started')
    },
    complete: () => {
      owesCompleted = true
      if (isKnown && !isClosed) void tell('completed')
    },
    close: async (deadlineMs) => {
      isClosed = true
      const isPerhapsKnown = isKnown || underWay.size > 0
      for (const over of underWay) over.abort(new Error('closed'))
      // nobody is told of it: the torrent is over either way
      if (isPerhapsKnown) await request('stopped', deadlineMs).catch(() => undefined)
    },
  }
}

function lateAfter(deadlineMs: number): Error {
  return new Error(`no answer within ${deadlineMs / 1000} s`)
}

function describe(error: unknown): string {
  if (error instanceof TrackerRefusal) return `refused: ${error.message}`
  // it begins with the url, which is named beside it
  if (error instanceof HttpFailure) return error.message.replace(/^\S+: /, '')
  return messageOf(error)
}

function strikeOut(text: string, secrets: readonly string[]): string {
  return redactText(secrets.reduce((left, secret) => left.replaceAll(secret, '***'), text))
}
