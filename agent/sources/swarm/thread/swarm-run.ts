// SPDX-License-Identifier: Apache-2.0
// Owns one torrent on the agent's side: workers in turn, and which pieces are verified on the disk. Does
// not know when a delivery has stalled; its callers do.
import type { AgentError } from '../../../core/errors.ts'
import type { EventPublisher, TrackerState } from '../../../core/events.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { createPeerId } from '../peers/peer-list.ts'
import type { SwarmTask } from '../swarm-task.ts'
import type { ArenaBudget } from './arena-budget.ts'
import { createPieceTransfer, type PieceAccess, type WorkerSide } from './piece-transfer.ts'
import { ON_DISK, type SwarmFigures, type WorkerNews } from './protocol.ts'
import { createTorrentNews } from './torrent-news.ts'
import type { StartWorker } from './worker-host.ts'

const MAX_RESTARTS = 3
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
  /** Ends the worker and waits for reads and writes under way. */
  close(): Promise<void>
}

/** Throws SwarmError if the budget has no room. */
export function startSwarmRun(task: SwarmTask, deps: SwarmRunDeps): SwarmRun {
  const { log, onDisk } = deps
  const { metainfo } = task.torrent
  const share = deps.memory.share(metainfo.pieceLength, metainfo.pieceCount)
  const { shape } = share
  let verifiedCount = onDisk.reduce((count, state) => count + Number(state === ON_DISK.verified), 0)
  let restarts = 0
  let earlier: SwarmFigures | undefined
  let port: number | undefined
  let isClosed = false
  const failing = new Set<string>()
  const refusals = new Set<string>()
  /** What the next worker is to be: it listens where the one before it did. */
  let { node } = task
  const transfer = createPieceTransfer(metainfo, shape, deps, {
    onWritten: noteVerified,
    onWriteFailed: (error) => {
      if (!isClosed) deps.onFailure(error)
    },
  })
  const { events } = deps
  const people = createTorrentNews({ task, onDisk, events, now: () => performance.now() })
  let { host, memory } = launch()

  function launch(): WorkerSide {
    // not that of a crashed worker: its thread may still be writing to it
    const memory = share.allocate()
    const side: WorkerSide = {
      memory,
      host: deps.startWorker(
        {
          swarm: { ...task, node },
          // a fresh one: peers may still hold the connections of a crashed worker
          peerId: createPeerId(),
          memory,
          arena: shape,
          onDisk: onDisk.slice(),
        },
        { onNews: (news) => onNews(news, side), onLost },
      ),
    }
    return side
  }

  function onLost(error: AgentError): void {
    if (isClosed) return
    earlier = figures()
    // one that never said a word has cost a minute, and will hardly do better
    restarts += host.isUp ? 1 : 2
    if (restarts > MAX_RESTARTS) {
      isClosed = true
      deps.onFailure(error)
      return
    }
    log.warn({ err: error, restarts }, 'swarm worker restarted')
    const next = launch()
    host = next.host
    memory = next.memory
  }

  function onNews(news: WorkerNews, from: WorkerSide): void {
    if (isClosed) return
    switch (news.kind) {
      case 'listening':
        port = news.port
        node = { ...node, listenPort: port }
        log.info(
          { port, info_hash: metainfo.infoHash, rack: node.nearby.rack },
          'swarm worker listening',
        )
        break
      case 'piece':
        transfer.write(news, from)
        break
      case 'read':
        transfer.read(news, from)
        break
      case 'verified':
        noteVerified(news.piece)
        break
      case 'refuted':
        onDisk[news.piece] = ON_DISK.no
        log.warn({ piece: news.piece }, 'piece on disk is wrong, fetching it')
        deps.onRefuted(news.piece)
        break
      case 'tracker':
        noteTracker(news.tracker, news.state, news.words)
        break
      case 'origin lost':
        log.warn({ reason: news.reason }, 'origin given up')
        people.originLost(news.reason)
        deps.onOriginLost(news.reason)
        break
      case 'view':
        people.tell(news, figures())
        break
      case 'refused':
        noteRefusal(news.address)
        break
      case 'warning':
        log.debug(news.fields, news.message)
        break
      default:
    }
  }

  /** Said once: what a worker finds anew may be known from the one before it. */
  function noteTracker(tracker: string, state: TrackerState, reason = ''): void {
    if (failing.has(tracker) === (state === 'failing')) return
    if (state === 'failing') failing.add(tracker)
    else failing.delete(tracker)
    deps.events.publish({
      type: 'tracker',
      tracker,
      state,
      reason: state === 'failing' ? reason : null,
      fields: { info_hash: metainfo.infoHash },
    })
  }

  function noteRefusal(address: string): void {
    if (refusals.has(address) || refusals.size >= MAX_REFUSALS) return
    refusals.add(address)
    log.warn(
      { peer: address },
      'peer closes connections at the handshake; if it requires encryption (BEP 8), have it allow plain connections',
    )
    deps.onRefused(address)
  }

  function noteVerified(piece: number): void {
    if (onDisk[piece] === ON_DISK.verified) return
    onDisk[piece] = ON_DISK.verified
    verifiedCount += 1
    deps.onPiece()
  }

  function figures(): SwarmFigures {
    const { peers, ...totals } = host.figures
    if (earlier === undefined) return host.figures
    return {
      peers,
      uploadedBytes: totals.uploadedBytes + earlier.uploadedBytes,
      originBytes: totals.originBytes + earlier.originBytes,
      peerBytes: totals.peerBytes + earlier.peerBytes,
      duplicateBytes: totals.duplicateBytes + earlier.duplicateBytes,
    }
  }

  return {
    get figures() {
      return figures()
    },
    get port() {
      return port
    },
    get isWriting() {
      return transfer.isWriting
    },
    get isStarting() {
      return !host.isUp
    },
    get isComplete() {
      return verifiedCount === metainfo.pieceCount
    },
    nameRack: (rack) => {
      if (isClosed || node.nearby.rack === rack) return
      node = { ...node, nearby: { ...node.nearby, rack } }
      host.send({ kind: 'rack', rack })
    },
    close: async () => {
      isClosed = true
      for (const tracker of failing) noteTracker(tracker, 'left')
      people.end(figures())
      await host.close()
      await transfer.settle()
      share.keep(memory)
      share[Symbol.dispose]()
    },
  }
}
