// SPDX-License-Identifier: Apache-2.0
// Owns one tracker of one torrent: what it is told, what it has said, whether it fails. Does not say when it is
// asked; session/announcer.ts does.
import { messageOf } from '../../../core/errors.ts'
import type { TrackerFigures } from '../../../core/events.ts'
import { redactText } from '../../../core/redact.ts'
import type { HttpClient } from '../../../http/client.ts'
import { HttpFailure } from '../../../http/failure.ts'
import { trackerSecrets } from '../torrent/trackers.ts'
import {
  type AnnounceEvent,
  type AnnounceFigures,
  type Announcement,
  type TrackerAnswer,
  TrackerRefusal,
} from './announcement.ts'
import { announceByHttp } from './http-announce.ts'
import { createTrackerHealth, type TrackerHealth, type TrackerState } from './tracker-health.ts'
import { announceByUdp } from './udp-announce.ts'

/** More than connections, so that neighbours are among them; opentracker gives no more. */
const WANTED_ADDRESSES = 200
/** One request, from the look-up of the name to the last byte of the answer. */
const ANNOUNCE_MS = 15_000

/** What is to be known of a tracker by people. */
export interface TrackerNews {
  /** The url without what may be a secret. */
  readonly tracker: string
  readonly state: TrackerState
  /** Of the tracker, or what went wrong; empty while it answers. No secret of the url is in it. */
  readonly words: string
}

/** What all trackers of a torrent are told, and who hears of their answers. */
export interface TrackerDeps {
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

export class Tracker {
  readonly url: string
  readonly #label: string
  readonly #client: HttpClient
  readonly #deps: TrackerDeps
  readonly #secrets: readonly string[]
  readonly #health: TrackerHealth
  readonly #underWay = new Set<AbortController>()
  #trackerId: Uint8Array | undefined
  #remark = ''
  /** It has answered. */
  #isKnown = false
  #owesCompleted = false
  #isClosed = false
  #askedAt: number | undefined
  #said: Pick<TrackerFigures, 'state' | 'words' | 'nodes'> = {
    state: 'not asked yet',
    words: '',
    nodes: null,
  }

  /** @param label the url as it is shown */
  constructor(url: string, label: string, client: HttpClient, deps: TrackerDeps) {
    this.url = url
    this.#label = label
    this.#client = client
    this.#deps = deps
    this.#secrets = trackerSecrets(url)
    this.#health = createTrackerHealth(deps.now, (state, words) =>
      deps.onNews({ tracker: label, state, words }),
    )
  }

  /** An answer is awaited. */
  get isBusy(): boolean {
    return this.#underWay.size > 0
  }

  /** As it is now; when it is asked again is not known here. */
  figures(): TrackerFigures {
    const sinceMs = this.#askedAt === undefined ? null : this.#deps.now() - this.#askedAt
    return {
      tracker: this.#label,
      ...this.#said,
      askedSecondsAgo: sinceMs === null ? null : Math.round(sinceMs / 1000),
      nextInSeconds: null,
    }
  }

  announce(): void {
    if (this.#isClosed) return
    void this.#tell(this.#isKnown ? (this.#owesCompleted ? 'completed' : undefined) : 'started')
  }

  /** Everything has been fetched: says so as soon as the tracker knows of us. */
  complete(): void {
    this.#owesCompleted = true
    if (this.#isKnown && !this.#isClosed) void this.#tell('completed')
  }

  /** Says goodbye, as far as that is possible within `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#isClosed = true
    const isPerhapsKnown = this.#isKnown || this.isBusy
    for (const over of this.#underWay) over.abort(new Error('closed'))
    // nobody is told of it: the torrent is over either way
    if (isPerhapsKnown) await this.#request('stopped', deadlineMs).catch(() => undefined)
  }

  async #tell(event: AnnounceEvent | undefined): Promise<void> {
    this.#askedAt = this.#deps.now()
    try {
      const answer = await this.#request(event, ANNOUNCE_MS)
      if (!this.#isClosed) this.#take(answer, event)
    } catch (error) {
      if (this.#isClosed) return
      const words = strikeOut(describe(error), this.#secrets)
      this.#said = { state: 'failing', words, nodes: null }
      this.#health.failed(words)
    }
  }

  async #request(event: AnnounceEvent | undefined, deadlineMs: number): Promise<TrackerAnswer> {
    const over = new AbortController()
    const late = setTimeout(() => over.abort(lateAfter(deadlineMs)), deadlineMs)
    this.#underWay.add(over)
    try {
      const announcement = this.#announcementOf(event)
      return /^udp:/i.test(this.url)
        ? await announceByUdp(this.url, announcement, over.signal)
        : await announceByHttp(this.#client, this.url, announcement, over.signal)
    } finally {
      clearTimeout(late)
      this.#underWay.delete(over)
    }
  }

  #announcementOf(event: AnnounceEvent | undefined): Announcement {
    const { infoHash, peerId, port, figures } = this.#deps
    return {
      ...figures(),
      infoHash: Buffer.from(infoHash, 'hex'),
      peerId: Buffer.from(peerId, 'hex'),
      port,
      trackerId: this.#trackerId,
      event,
      numwant: WANTED_ADDRESSES,
    }
  }

  #take(answer: TrackerAnswer, event: AnnounceEvent | undefined): void {
    this.#trackerId = answer.trackerId ?? this.#trackerId
    this.#isKnown = true
    if (event === 'completed') this.#owesCompleted = false
    this.#health.answered()
    const words = strikeOut(answer.warning ?? '', this.#secrets)
    this.#said = { state: 'answering', words, nodes: answer.nodes ?? null }
    if (words !== '' && words !== this.#remark) this.#deps.onRemark(this.#label, words)
    this.#remark = words
    this.#deps.onAnswer(answer)
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
