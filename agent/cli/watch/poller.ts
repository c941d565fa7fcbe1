// SPDX-License-Identifier: Apache-2.0
// Owns asking many agents for their status: how many at once, how long each may take, and when again: as soon as an
// agent says that something has happened, else now and then. Does not know which nodes there are (node-list.ts) nor
// how they are shown.
import { type Random, uniform } from '../../core/backoff.ts'
import { anySignal } from '../../core/deadline.ts'
import { KiB } from '../../core/units.ts'
import type { HttpClient } from '../../http/client.ts'
import { reasonOf } from '../../sources/http/url-rotation.ts'
import { createFeeds } from './feeds.ts'
import { answeredRow, emptyRow, type NodeRow, silentRow, type WatchedNode } from './node-row.ts'

/** Of /v1/status; it is a few KiB. */
const MAX_STATUS_BYTES = 256 * KiB
/** Agents of one rack are asked in one go; a thousand in eight. */
const MOST_AT_ONCE = 128
const ANSWER_MS = 5000
/** One that does not answer is asked again after so long at most, with jitter. */
const LONGEST_PAUSE_MS = 20_000
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

interface Seat {
  node: WatchedNode
  row: NodeRow
  askedAt: number
  nextAt: number
  silences: number
  isAsked: boolean
  isBusy: boolean
}

/** Asks until disposed of. */
export function startPoller(deps: PollerDeps): Poller {
  const { client, signal, now, random, intervalMs } = deps
  const seats = new Map<string, Seat>()
  const ended = new AbortController()
  const underWay = new Set<Promise<void>>()
  const feeds = createFeeds(deps)
  let waiting: (() => void)[] = []

  const ask = async (seat: Seat, url: string): Promise<void> => {
    seat.isBusy = true
    seat.askedAt = now()
    seat.nextAt = Number.POSITIVE_INFINITY
    const { node } = seat
    try {
      const response = await client.request(`${url}/v1/status`, {
        signal: anySignal(signal, ended.signal),
        timeoutMs: ANSWER_MS,
        maxBytes: MAX_STATUS_BYTES,
      })
      if (response.status !== 200) throw new Error(`status ${response.status}`)
      seat.row = answeredRow(seat.node, JSON.parse(response.text()), deps.wallClock())
      seat.silences = 0
      if (deps.listens) feeds.hear(node.id, url, () => onNews(node.id))
      const pauseMs = feeds.isLive(node.id) ? Math.max(CALM_MS, intervalMs) : intervalMs
      // news may have come meanwhile
      seat.nextAt = Math.min(seat.nextAt, now() + pauseMs)
    } catch (error) {
      seat.silences += 1
      seat.row = silentRow(seat.row, node, whyOf(error))
      const longest = Math.min(LONGEST_PAUSE_MS, intervalMs * 2 ** Math.min(seat.silences, 10))
      seat.nextAt = now() + uniform(random, longest / 2, longest)
    } finally {
      seat.isBusy = false
      seat.isAsked = true
    }
  }

  /** What comes in one go is asked for once. */
  const onNews = (id: string) => {
    const seat = seats.get(id)
    if (seat) seat.nextAt = Math.min(seat.nextAt, Math.max(now(), seat.askedAt + intervalMs))
  }
  const leftToAsk = () =>
    [...seats.values()].filter(({ isAsked, node }) => !isAsked && node.url !== null).length
  const askDue = () => {
    const due = [...seats.values()].filter(({ isBusy, nextAt }) => !isBusy && nextAt <= now())
    // those that have waited longest: silent ones would take every place
    for (const seat of due.toSorted((a, b) => a.nextAt - b.nextAt)) {
      if (underWay.size >= MOST_AT_ONCE) break
      const { url } = seat.node
      if (url === null) continue
      const asking = ask(seat, url).finally(() => underWay.delete(asking))
      underWay.add(asking)
    }
    if (leftToAsk() > 0) return
    for (const tell of waiting) tell()
    waiting = []
  }
  const timer = setInterval(askDue, TICK_MS)

  return {
    watch: (nodes) => {
      const ids = new Set(nodes.map(({ id }) => id))
      for (const id of seats.keys()) {
        if (ids.has(id)) continue
        seats.delete(id)
        feeds.forget(id)
      }
      for (const node of nodes) seat(seats, node, now())
      askDue()
    },
    rows: () => [...seats.values()].map(({ row }) => row),
    leftToAsk,
    allAsked: () => new Promise((resolve) => waiting.push(resolve)),
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      ended.abort(new Error('no longer watched'))
      await feeds[Symbol.asyncDispose]()
      await Promise.all(underWay)
    },
  }
}

/** Its URL stands beside it. */
function whyOf(error: unknown): string {
  return reasonOf(error).replace(/^https?:\S+: /, '')
}

/** A node that was known keeps what it said. */
function seat(seats: Map<string, Seat>, node: WatchedNode, nowMs: number): void {
  const before = seats.get(node.id)
  if (before === undefined) {
    const row = emptyRow(node)
    const seen = { askedAt: 0, nextAt: 0, silences: 0, isAsked: false, isBusy: false }
    seats.set(node.id, { node, row, ...seen })
    return
  }
  const hasMoved = before.node.url !== node.url
  before.node = node
  if (node.url === null) before.row = silentRow(before.row, node, 'Ironic knows no agent of it')
  else if (before.row.no_answer === null)
    before.row = { ...before.row, provision_state: node.provision_state, error: node.error }
  else before.row = silentRow(before.row, node, before.row.no_answer)
  if (hasMoved) before.nextAt = nowMs
}
