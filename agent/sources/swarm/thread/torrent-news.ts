// SPDX-License-Identifier: Apache-2.0
// Owns what people are told of one torrent: pieces, peers, trackers, servers and rates, now and then. Does not
// count; the worker and swarm-run.ts do.
import type { EventPublisher } from '../../../core/events.ts'
import type { SwarmTask } from '../swarm-task.ts'
import { ON_DISK, type SwarmFigures, type SwarmView } from './protocol.ts'

/** While nothing is fetched figures change slowly. */
const SEEDING_VIEWS = 5
/** The rates are means over so many views of a second. */
const RATE_VIEWS = 5
/** Digits of the map: as many as a screen has room for. */
const MAP_CELLS = 160

export interface TorrentNews {
  /** Called with each view of a worker, about once a second. */
  tell(view: SwarmView, figures: SwarmFigures): void
  originLost(reason: string): void
  /** The torrent is left; nothing more is told. */
  end(figures: SwarmFigures): void
}

interface Sample {
  readonly at: number
  readonly figures: SwarmFigures
}

export interface TorrentNewsOptions {
  readonly task: SwarmTask
  /** As in WorkerTask. */
  readonly onDisk: Uint8Array
  readonly events: EventPublisher
  /** Monotonic, ms. */
  readonly now: () => number
}

const NOTHING: SwarmView = {
  asked: 0,
  served: 0,
  peerList: [],
  trackers: [],
  badPieces: { origin: 0, peers: 0 },
}

/** Nobody is connected any more; what was wrong stays counted. */
function gone({ badPieces }: SwarmView): SwarmView {
  return { ...NOTHING, badPieces }
}

/** Nothing is told before the first view. */
export function createTorrentNews(options: TorrentNewsOptions): TorrentNews {
  return new PublishedTorrent(options)
}

class PublishedTorrent implements TorrentNews {
  readonly #options: TorrentNewsOptions
  readonly #webseeds: readonly string[]
  /** Of the last seconds, for the rates. */
  readonly #samples: Sample[] = []
  #originReason: string | null = null
  #views = 0
  #lastView = NOTHING

  constructor(options: TorrentNewsOptions) {
    this.#options = options
    this.#webseeds = serversOf(options.task.origin?.urls ?? [])
  }

  tell(view: SwarmView, figures: SwarmFigures): void {
    const { onDisk, now } = this.#options
    this.#lastView = view
    this.#samples.push({ at: now(), figures })
    if (this.#samples.length > RATE_VIEWS + 1) this.#samples.shift()
    const isSeeding = doneCount(onDisk) === onDisk.length
    if (!isSeeding || this.#views % SEEDING_VIEWS === 0) {
      this.#publish(isSeeding ? 'seeding' : 'fetching', figures)
    }
    this.#views += 1
  }

  originLost(reason: string): void {
    this.#originReason = reason
  }

  end(figures: SwarmFigures): void {
    // who has told nothing has nothing to take back
    if (this.#views > 0) this.#publish('left', figures)
  }

  #publish(state: 'fetching' | 'seeding' | 'left', figures: SwarmFigures): void {
    const { task, onDisk, events } = this.#options
    const { metainfo } = task.torrent
    const { asked, served, peerList, trackers, badPieces } =
      state === 'left' ? gone(this.#lastView) : this.#lastView
    events.publish({
      type: 'torrent',
      infoHash: metainfo.infoHash,
      state,
      peers: state === 'left' ? 0 : figures.peers,
      asked,
      served,
      peerList,
      trackers,
      webseeds: this.#webseeds,
      originReason: this.#originReason,
      pieces: {
        total: metainfo.pieceCount,
        done: doneCount(onDisk),
        bytes: metainfo.pieceLength,
        map: pieceMap(onDisk, MAP_CELLS),
      },
      badPieces: { ...badPieces },
      bytes: {
        origin: figures.originBytes,
        peers: figures.peerBytes,
        uploaded: figures.uploadedBytes,
        duplicate: figures.duplicateBytes,
      },
      rates: ratesOf(this.#samples[0], this.#samples.at(-1)),
    })
  }
}

/**
 * The pieces as a line of digits, each for a stretch of the torrent: tenths of it that are verified, rounded down, so
 * that `9` says that something is missing; `+` is all of it.
 */
export function pieceMap(onDisk: Uint8Array, mostCells: number): string {
  const cells = Math.min(mostCells, onDisk.length)
  let map = ''
  for (let cell = 0; cell < cells; cell++) {
    const from = Math.floor((cell * onDisk.length) / cells)
    const to = Math.floor(((cell + 1) * onDisk.length) / cells)
    const done = doneCount(onDisk.subarray(from, to))
    map += done === to - from ? '+' : String(Math.floor((10 * done) / (to - from)))
  }
  return map
}

function doneCount(onDisk: Uint8Array): number {
  let count = 0
  for (const state of onDisk) if (state === ON_DISK.verified) count += 1
  return count
}

/** Protocol, name and port: paths and queries may hold signatures. */
function serversOf(urls: readonly string[]): string[] {
  const servers = urls.flatMap((url) => {
    const parsed = URL.parse(url)
    return parsed === null ? [] : [`${parsed.protocol}//${parsed.host}`]
  })
  return [...new Set(servers)]
}

function ratesOf(first: Sample | undefined, last: Sample | undefined) {
  const seconds = first && last ? (last.at - first.at) / 1000 : 0
  const rate = (of: (figures: SwarmFigures) => number): number => {
    if (!first || !last || seconds <= 0) return 0
    return Math.max(0, Math.round((of(last.figures) - of(first.figures)) / seconds))
  }
  return {
    origin: rate(({ originBytes }) => originBytes),
    peers: rate(({ peerBytes }) => peerBytes),
    uploaded: rate(({ uploadedBytes }) => uploadedBytes),
  }
}
