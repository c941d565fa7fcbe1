// SPDX-License-Identifier: Apache-2.0
// Owns one torrent inside of the worker: engine, client, trackers, arena, wired together. Does not touch
// the disk; it asks the agent's thread to.

import { SwarmEngine } from '../engine/engine.ts'
import type { EngineNews } from '../engine/engine-options.ts'
import { openSwarmClient, type SwarmClient } from '../library/client.ts'
import { MAX_CONNS, MAX_UPLOADS } from '../peers/connection-limits.ts'
import { type Arena, createArena } from '../thread/arena.ts'
import { ON_DISK, type WorkerNews, type WorkerOrder, type WorkerTask } from '../thread/protocol.ts'
import { pieceRange } from '../torrent/piece-layout.ts'
import { PieceSet } from '../torrent/piece-set.ts'
import type { BlockRequest } from '../wire/upload-queue.ts'
import { type Announcer, createAnnouncer } from './announcer.ts'
import { openOrigin } from './origin.ts'
import { createPieceHasher, type PieceHasher } from './piece-hasher.ts'
import { createPieceReader, type PieceReader } from './piece-reader.ts'
import { PieceStore } from './piece-store.ts'
import { SessionReports } from './session-reports.ts'

const TICK_MS = 250
/** Time for `stopped` to reach the trackers. */
const CLOSE_MS = 2000

export interface Session {
  onOrder(order: WorkerOrder): void
}

type Tell = (news: WorkerNews) => void

const now = () => performance.now()

/**
 * Runs until it is told to close. Throws SwarmError if the library refuses the torrent or the port; what fails
 * later is thrown in a turn of its own, and so ends the worker.
 */
export async function startSession(task: WorkerTask, tell: Tell): Promise<Session> {
  const session = new TorrentSession(task, tell)
  await session.open()
  return session
}

class TorrentSession implements Session {
  readonly #task: WorkerTask
  readonly #tell: Tell
  readonly #hasher: PieceHasher
  readonly #reader: PieceReader
  readonly #store: PieceStore
  readonly #engine: SwarmEngine
  readonly #reports: SessionReports
  #client: SwarmClient | undefined
  #announcer: Announcer | undefined
  #ticker: NodeJS.Timeout | undefined

  constructor(task: WorkerTask, tell: Tell) {
    const arena = createArena(task.memory, task.arena)
    this.#task = task
    this.#tell = tell
    this.#hasher = createPieceHasher({
      hashes: task.swarm.torrent.metainfo.pieces,
      memory: task.memory,
      now,
      onFailure: fail,
    })
    this.#reader = createPieceReader({
      arena,
      maxReads: task.arena.slotCount - task.arena.maxInProgress,
      lengthOf: (piece) => this.#lengthOf(piece),
      verify: this.#hasher.verify,
      order: (piece, slot) => tell({ kind: 'read', piece, slot: slot.index }),
    })
    this.#store = new PieceStore({
      arena,
      order: (piece, { index: slot }, from) =>
        tell({ kind: 'piece', piece, slot, length: this.#lengthOf(piece), from }),
      onWritten: (piece) => this.#client?.markHave(piece),
    })
    this.#engine = this.#createEngine(arena)
    this.#reports = new SessionReports({ engine: this.#engine, tell })
  }

  /** Starts to listen, to announce and to fetch. */
  async open(): Promise<void> {
    const have = piecesThatAre(ON_DISK.verified, this.#task)
    const claimed = piecesThatAre(ON_DISK.claimed, this.#task)
    for (const piece of have) this.#engine.markOnDisk(piece, true)
    for (const piece of claimed) this.#engine.markOnDisk(piece, false)
    const client = await this.#openClient(have)
    this.#client = client
    this.#tell({ kind: 'listening', port: client.port })
    const announcer = createAnnouncer({
      targets: () => client.trackers,
      isDownloading: () => !this.#engine.isComplete,
      isKnown: () => client.isKnownToTracker,
      random: Math.random,
      now,
    })
    this.#announcer = announcer
    this.#ticker = setInterval(() => this.#engine.tick(), TICK_MS)
    this.#reports.start(() => {
      const { nextInSeconds } = announcer
      return client.trackerFigures().map((each) => ({ ...each, nextInSeconds }))
    })
    this.#engine.tick()
    this.#checkClaims(claimed, client).catch(fail)
  }

  onOrder(order: WorkerOrder): void {
    if (order.kind === 'read') this.#reader.onRead(order.piece, order.error)
    else if (order.kind === 'rack') this.#client?.nameRack(order.rack)
    else if (order.kind === 'written') this.#store.onWritten(order.piece)
    else this.#close().catch(() => this.#tell({ kind: 'closed' }))
  }

  #createEngine(arena: Arena): SwarmEngine {
    const { swarm, peerId, arena: shape } = this.#task
    const { metainfo } = swarm.torrent
    return new SwarmEngine({
      layout: metainfo,
      selfId: peerId,
      now,
      random: Math.random,
      defer: setImmediate,
      slots: arena,
      maxInProgress: shape.maxInProgress,
      origin:
        swarm.origin &&
        openOrigin(swarm.origin, metainfo.lengthBytes, Math.random, tellLogLine(this.#tell)),
      downloadLimit: swarm.limits.downloadLimit,
      maxUploads: MAX_UPLOADS,
      verify: this.#hasher.verify,
      store: (piece, slot, from) => this.#store.store(piece, slot, from),
      onNews: (news) => {
        if (news.kind === 'bad piece') this.#reports.noteBadPiece(news.from)
        tellNews(news, this.#tell)
      },
      onComplete: () => this.#client?.markComplete(),
    })
  }

  #openClient(have: PieceSet): Promise<SwarmClient> {
    const [engine, reports, tell] = [this.#engine, this.#reports, this.#tell]
    return openSwarmClient({
      task: this.#task.swarm,
      peerId: this.#task.peerId,
      maxConns: MAX_CONNS,
      have,
      figures: () => {
        const { origin, peers } = engine.figures
        const { uploadedBytes: uploaded } = reports
        return { uploaded, downloaded: origin + peers, left: engine.bytesLeft }
      },
      isServable: (request) => this.#isServable(request),
      readBlock: ({ piece, offset, length }, take) =>
        this.#reader.use(piece, (bytes) => {
          take(bytes instanceof Error ? null : bytes.subarray(offset, offset + length))
        }),
      onWire: (wire, isFar) => engine.addWire(wire, isFar),
      onSwarmSize: (nodes) => engine.noteSwarmSize(nodes),
      onUploaded: (bytes) => reports.noteUploaded(bytes),
      onRefused: (address) => tell({ kind: 'refused', address }),
      onTracker: (news) => tell({ kind: 'tracker', ...news }),
      onWarning: (warning) =>
        tell({ kind: 'warning', message: 'swarm client warns', fields: { warning } }),
      onFailure: fail,
    })
  }

  #isServable({ piece, offset, length }: BlockRequest): boolean {
    const isOfTorrent = piece < this.#task.swarm.torrent.metainfo.pieceCount
    return isOfTorrent && this.#engine.has(piece) && offset + length <= this.#lengthOf(piece)
  }

  #lengthOf(piece: number): number {
    return pieceRange(this.#task.swarm.torrent.metainfo, piece).length
  }

  /** Pieces another source brought: seed them if they are right, fetch them if not. */
  async #checkClaims(pieces: Iterable<number>, client: SwarmClient): Promise<void> {
    const engine = this.#engine
    for (const piece of pieces) {
      const isRight = await this.#reader.read(piece, () => true).catch(() => false)
      this.#tell({ kind: isRight ? 'verified' : 'refuted', piece })
      if (isRight) {
        client.markHave(piece)
        engine.markOnDisk(piece, true)
      } else {
        engine.markMissing(piece)
      }
    }
    if (engine.isComplete) client.markComplete()
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticker)
    this.#reports.stop()
    this.#announcer?.stop()
    this.#engine.stop()
    this.#reader.close()
    this.#hasher.close()
    await this.#client?.close(CLOSE_MS)
    this.#tell({ kind: 'closed' })
  }
}

/** Nobody waits for it: the worker ends, and the agent's thread starts another. */
function fail(error: unknown): never {
  throw error
}

/** @param state one of ON_DISK */
function piecesThatAre(state: number, { onDisk }: WorkerTask): PieceSet {
  const pieces = new PieceSet(onDisk.length)
  for (const [piece, each] of onDisk.entries()) if (each === state) pieces.add(piece)
  return pieces
}

/** The HTTP code's log lines reach the agent's log through its own thread. */
function tellLogLine(tell: Tell): (line: string) => void {
  return (line) => {
    const { msg, level: _level, time: _time, ...fields } = JSON.parse(line)
    tell({ kind: 'warning', message: String(msg), fields })
  }
}

function tellNews(news: EngineNews, tell: Tell): void {
  if (news.kind === 'origin trouble' && news.isFinal) {
    tell({ kind: 'origin lost', reason: news.reason })
  } else {
    const { kind: message, ...fields } = news
    tell({ kind: 'warning', message, fields })
  }
}
