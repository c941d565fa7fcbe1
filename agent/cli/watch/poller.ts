// SPDX-License-Identifier: Apache-2.0
// Owns asking many agents for their status: how many at once, how long each may take, and when again: as soon as an
// agent says that something has happened, else now and then. Does not know which nodes there are (node-list.ts), what
// is known of each (seat.ts) nor how they are shown.
import type { Random } from '../../core/backoff.ts'
import { anySignal } from '../../core/deadline.ts'
import { KiB } from '../../core/units.ts'
import type { HttpClient } from '../../http/client.ts'
import { reasonOf } from '../../sources/http/url-rotation.ts'
import { createFeeds, type Feeds } from './feeds.ts'
import type { NodeRow, WatchedNode } from './node-row.ts'
import { Seat } from './seat.ts'

/** Of /v1/status; it is a few KiB. */
const MAX_STATUS_BYTES = 256 * KiB
/** Agents of one rack are asked in one go; a thousand in eight. */
const MOST_AT_ONCE = 128
const ANSWER_MS = 5000
/** One that tells of what happens is asked all the same, for what it tells nobody, ms. */
const CALM_MS = 30_000
/** How often it is looked whom to ask. */
const TICK_MS = 100

export interface Poller extends AsyncDisposable {
  /** From now on these are asked. Rows of others are forgotten. */
  watch(nodes: readonly WatchedNode[]): void
  rows(): NodeRow[]
  /** Agents that have neither answered nor been silent yet. */
  leftToAsk(): number
  /** Resolves when every node has been asked once. */
  allAsked(): Promise<void>
}

export interface PollerDeps {
  /** Its disposal is its owner's. */
  readonly client: HttpClient
  readonly signal: AbortSignal
  /** Milliseconds that only go forward. */
  readonly now: () => number
  /** ms since the epoch, for when an agent answered. */
  readonly wallClock: () => number
  readonly random: Random
  /** Between two answers of one agent, ms. */
  readonly intervalMs: number
  /** Those that tell of what happens are listened to. */
  readonly listens: boolean
}

/** Asks until disposed of. */
export function startPoller(deps: PollerDeps): Poller {
  return new RunningPoller(deps)
}

class RunningPoller implements Poller {
  readonly #deps: PollerDeps
  /** By the id of the node. */
  readonly #seats = new Map<string, Seat>()
  readonly #feeds: Feeds
  readonly #underWay = new Set<Promise<void>>()
  readonly #ended = new AbortController()
  readonly #timer: NodeJS.Timeout
  #waiting: (() => void)[] = []

  constructor(deps: PollerDeps) {
    this.#deps = deps
    this.#feeds = createFeeds(deps)
    this.#timer = setInterval(() => this.#askDue(), TICK_MS)
  }

  watch(nodes: readonly WatchedNode[]): void {
    const ids = new Set(nodes.map(({ id }) => id))
    for (const id of this.#seats.keys()) {
      if (ids.has(id)) continue
      this.#seats.delete(id)
      this.#feeds.forget(id)
    }
    for (const node of nodes) {
      const seat = this.#seats.get(node.id)
      if (seat) seat.update(node, this.#deps.now())
      else this.#seats.set(node.id, new Seat(node))
    }
    this.#askDue()
  }

  rows(): NodeRow[] {
    return [...this.#seats.values()].map(({ row }) => row)
  }

  leftToAsk(): number {
    return [...this.#seats.values()].filter(({ isLeftToAsk }) => isLeftToAsk).length
  }

  allAsked(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#ended.abort(new Error('no longer watched'))
    await this.#feeds[Symbol.asyncDispose]()
    await Promise.all(this.#underWay)
  }

  #askDue(): void {
    const now = this.#deps.now()
    const due = [...this.#seats.values()].filter((seat) => seat.isDue(now))
    // those that have waited longest: silent ones would take every place
    for (const seat of due.toSorted((a, b) => a.nextAt - b.nextAt)) {
      if (this.#underWay.size >= MOST_AT_ONCE) break
      const { url } = seat.node
      if (url === null) continue
      const asking = this.#ask(seat, url).finally(() => this.#underWay.delete(asking))
      this.#underWay.add(asking)
    }
    if (this.leftToAsk() > 0) return
    for (const tell of this.#waiting) tell()
    this.#waiting = []
  }

  async #ask(seat: Seat, url: string): Promise<void> {
    const { now, wallClock, intervalMs } = this.#deps
    seat.begin(now())
    try {
      seat.answered(await this.#readStatus(url), wallClock())
      const { id } = seat.node
      if (this.#deps.listens && this.#seats.get(id) === seat) {
        this.#feeds.hear(id, url, () => this.#seats.get(id)?.hurry(now(), intervalMs))
      }
      const pauseMs = this.#feeds.isLive(id) ? Math.max(CALM_MS, intervalMs) : intervalMs
      seat.restUntil(now() + pauseMs)
    } catch (error) {
      seat.silent(whyOf(error), now(), this.#deps)
    } finally {
      seat.end()
    }
  }

  async #readStatus(url: string): Promise<unknown> {
    const { client, signal } = this.#deps
    const response = await client.request(`${url}/v1/status`, {
      signal: anySignal(signal, this.#ended.signal),
      timeoutMs: ANSWER_MS,
      maxBytes: MAX_STATUS_BYTES,
    })
    if (response.status !== 200) throw new Error(`status ${response.status}`)
    return JSON.parse(response.text())
  }
}

/** Its URL stands beside it. */
function whyOf(error: unknown): string {
  return reasonOf(error).replace(/^https?:\S+: /, '')
}
