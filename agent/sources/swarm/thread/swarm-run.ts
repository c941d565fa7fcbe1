// SPDX-License-Identifier: Apache-2.0
// Owns one torrent on the agent's side: what follows from the news of its workers, for the disk and for people.
// Does not know when a delivery has stalled; its callers do.
import type { EventPublisher } from '../../../core/events.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import type { SwarmTask } from '../swarm-task.ts'
import type { ArenaBudget, ArenaShare } from './arena-budget.ts'
import {
  createPieceTransfer,
  type PieceAccess,
  type PieceTransfer,
  type WorkerSide,
} from './piece-transfer.ts'
import { PiecesOnDisk } from './pieces-on-disk.ts'
import type { SwarmFigures, WorkerNews } from './protocol.ts'
import { createTorrentNews, type TorrentNews } from './torrent-news.ts'
import { TrackerNotices } from './tracker-notices.ts'
import type { StartWorker } from './worker-host.ts'
import { WorkerSuccession } from './worker-succession.ts'

/** Peers that are named in the log for not wanting to talk. */
const MAX_REFUSALS = 8

/** What a swarm takes on any node, besides its task. */
export interface SwarmDeps {
  /** One for all torrents of a process. */
  readonly memory: ArenaBudget
  readonly startWorker: StartWorker
  readonly log: Logger
  /** Hears of the torrent, of trackers that fail, and of those that work again. */
  readonly events: EventPublisher
}

export interface SwarmRunDeps extends SwarmDeps, PieceAccess {
  /** One byte per piece, as in WorkerTask; this run keeps it up to date. */
  readonly onDisk: Uint8Array
  /** One more piece is verified on the disk. */
  onPiece(): void
  /** What another source has put on the disk for this piece is wrong: it will be fetched. */
  onRefuted(piece: number): void
  onOriginLost(reason: string): void
  /** A peer closed the connection at our handshake: it may take encrypted ones only (BEP 8). Once for each. */
  onRefused(address: string): void
  /** The worker crashed for the last time, or a write failed. */
  onFailure(error: unknown): void
}

export interface SwarmRun {
  readonly figures: SwarmFigures
  /** TCP port peers connect to, once there is one. */
  readonly port: number | undefined
  /** A piece is on its way to the disk. */
  readonly isWriting: boolean
  /** A worker is being loaded; nobody can expect a piece of it yet. */
  readonly isStarting: boolean
  readonly isComplete: boolean
  /** Our rack has got a name: peers are told, those of a worker to come too. */
  nameRack(rack: string): void
  /** Ends the worker and waits for reads and writes under way. Idempotent. */
  close(): Promise<void>
}

/** Starts the first worker. Throws SwarmError if the budget has no room. */
export function startSwarmRun(task: SwarmTask, deps: SwarmRunDeps): SwarmRun {
  return new TorrentRun(task, deps)
}

class TorrentRun implements SwarmRun {
  readonly #deps: SwarmRunDeps
  readonly #share: ArenaShare
  readonly #pieces: PiecesOnDisk
  readonly #transfer: PieceTransfer
  readonly #people: TorrentNews
  readonly #trackers: TrackerNotices
  readonly #workers: WorkerSuccession
  readonly #infoHash: string
  readonly #refusals = new Set<string>()
  #port: number | undefined
  #closing: Promise<void> | undefined

  constructor(task: SwarmTask, deps: SwarmRunDeps) {
    const { onDisk, events, log } = deps
    const { metainfo } = task.torrent
    this.#deps = deps
    this.#infoHash = metainfo.infoHash
    this.#share = deps.memory.share(metainfo.pieceLength, metainfo.pieceCount)
    this.#pieces = new PiecesOnDisk(onDisk)
    this.#transfer = createPieceTransfer({
      readImage: deps.readImage,
      writePiece: deps.writePiece,
      log,
      metainfo,
      shape: this.#share.shape,
      onWritten: (piece) => this.#noteVerified(piece),
      onWriteFailed: (error) => {
        if (!this.#workers.isOver) deps.onFailure(error)
      },
    })
    this.#people = createTorrentNews({ task, onDisk, events, now: () => performance.now() })
    this.#trackers = new TrackerNotices(metainfo.infoHash, events)
    this.#workers = new WorkerSuccession({
      task,
      share: this.#share,
      onDisk,
      startWorker: deps.startWorker,
      log,
      onNews: (news, from) => this.#onNews(news, from),
      onFailure: (error) => deps.onFailure(error),
    })
  }

  get figures(): SwarmFigures {
    return this.#workers.figures
  }

  get port(): number | undefined {
    return this.#port
  }

  get isWriting(): boolean {
    return this.#transfer.isWriting
  }

  get isStarting(): boolean {
    return !this.#workers.isUp
  }

  get isComplete(): boolean {
    return this.#pieces.isComplete
  }

  nameRack(rack: string): void {
    this.#workers.nameRack(rack)
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    const ended = this.#workers.close()
    this.#trackers.leave()
    this.#people.end(this.figures)
    await ended
    await this.#transfer.settle()
    this.#share.keep(this.#workers.memory)
    this.#share[Symbol.dispose]()
  }

  #onNews(news: WorkerNews, from: WorkerSide): void {
    switch (news.kind) {
      case 'listening':
        this.#noteListening(news.port)
        break
      case 'piece':
        this.#transfer.write(news, from)
        break
      case 'read':
        this.#transfer.read(news, from)
        break
      case 'verified':
        this.#noteVerified(news.piece)
        break
      case 'refuted':
        this.#noteRefuted(news.piece)
        break
      case 'tracker':
        this.#trackers.note(news.tracker, news.state, news.words)
        break
      case 'origin lost':
        this.#noteOriginLost(news.reason)
        break
      case 'view':
        this.#people.tell(news, this.figures)
        break
      case 'refused':
        this.#noteRefusal(news.address)
        break
      case 'warning':
        this.#deps.log.debug(news.fields, news.message)
        break
      default:
    }
  }

  #noteListening(port: number): void {
    this.#port = port
    this.#workers.keepPort(port)
    this.#deps.log.info(
      { port, info_hash: this.#infoHash, rack: this.#workers.rack },
      'swarm worker listening',
    )
  }

  #noteVerified(piece: number): void {
    if (this.#pieces.verify(piece)) this.#deps.onPiece()
  }

  #noteRefuted(piece: number): void {
    this.#pieces.refute(piece)
    this.#deps.log.warn({ piece }, 'piece on disk is wrong, fetching it')
    this.#deps.onRefuted(piece)
  }

  #noteOriginLost(reason: string): void {
    this.#deps.log.warn({ reason }, 'origin given up')
    this.#people.originLost(reason)
    this.#deps.onOriginLost(reason)
  }

  #noteRefusal(address: string): void {
    if (this.#refusals.has(address) || this.#refusals.size >= MAX_REFUSALS) return
    this.#refusals.add(address)
    this.#deps.log.warn(
      { peer: address },
      'peer closes connections at the handshake; if it requires encryption (BEP 8), have it allow plain connections',
    )
    this.#deps.onRefused(address)
  }
}
