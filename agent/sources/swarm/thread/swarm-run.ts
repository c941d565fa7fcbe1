// SPDX-License-Identifier: Apache-2.0
// Owns one torrent on the agent's side: workers in turn, which pieces are verified on the disk, reads
// and writes on their behalf. Does not know when a delivery has stalled; its callers do.
import { type AgentError, messageOf } from '../../../core/errors.ts'
import type { FileExtent, ImageReader } from '../../../core/extent.ts'
import type { Logger } from '../../../telemetry/logger.ts'
import { createPeerId } from '../peers/peer-list.ts'
import { encodeMetainfo, HASH_BYTES, type Metainfo } from '../torrent/metainfo.ts'
import { pieceRange } from '../torrent/piece-layout.ts'
import { allocateArena, slotAt } from './arena.ts'
import type { ArenaBudget } from './arena-budget.ts'
import {
  type NearbyOptions,
  ON_DISK,
  type SwarmFigures,
  type WebSeedOptions,
  type WorkerNews,
} from './protocol.ts'
import { startWorker, type WorkerHost, type WorkerHostOptions } from './worker-host.ts'

const MAX_RESTARTS = 3

export interface SwarmRunOptions {
  readonly metainfo: Metainfo
  readonly trackers: readonly (readonly string[])[]
  readonly webSeed: WebSeedOptions | undefined
  readonly listenPort: number
  readonly uploadLimit: number
  readonly downloadLimit: number
  readonly nearby: NearbyOptions
  readonly memory: ArenaBudget
  readonly log: Logger
  /** One byte per piece, as in WorkerTask; this run keeps it up to date. */
  readonly onDisk: Uint8Array
  readonly readImage: ImageReader
  /** Puts a verified piece on the disk; its `data` are valid until it resolves. */
  writePiece(extent: FileExtent): Promise<void>
  /** One more piece is verified on the disk. */
  onPiece(): void
  onOriginLost(reason: string): void
  readonly worker?: WorkerHostOptions | undefined
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
export function startSwarmRun(options: SwarmRunOptions): SwarmRun {
  const { metainfo, log, onDisk } = options
  const share = options.memory.share(metainfo.pieceLength, metainfo.pieceCount)
  const { shape } = share
  const writes = new Set<Promise<void>>()
  const reads = new Set<Promise<void>>()
  let verifiedCount = onDisk.reduce((count, state) => count + Number(state === ON_DISK.verified), 0)
  let restarts = 0
  let earlier: SwarmFigures | undefined
  let port: number | undefined
  let isClosed = false
  let nearby = withPrivacy(options.nearby, metainfo)
  let host = launch()

  function launch(): WorkerHost {
    // a fresh arena: the thread of a crashed worker may still be writing to the old one
    const memory = allocateArena(shape)
    const started = startWorker(
      {
        torrentFile: encodeMetainfo(metainfo.info, { trackers: options.trackers }),
        infoHash: metainfo.infoHash,
        layout: {
          pieceCount: metainfo.pieceCount,
          pieceLength: metainfo.pieceLength,
          lengthBytes: metainfo.lengthBytes,
        },
        hashes: metainfo.pieces,
        memory,
        arena: shape,
        webSeed: options.webSeed,
        listenPort: port ?? options.listenPort,
        uploadLimit: options.uploadLimit,
        downloadLimit: options.downloadLimit,
        nearby,
        onDisk: onDisk.slice(),
        peerId: createPeerId(),
      },
      {
        onNews: (news) => onNews(news, memory, started),
        onLost: (error) => onLost(error),
      },
      options.worker,
    )
    return started
  }

  function onLost(error: AgentError): void {
    if (isClosed) return
    earlier = figures()
    // one that never said a word has cost a minute, and will hardly do better
    restarts += host.isUp ? 1 : 2
    if (restarts > MAX_RESTARTS) {
      isClosed = true
      options.onFailure(error)
      return
    }
    log.warn({ err: error, restarts }, 'swarm worker restarted')
    host = launch()
  }

  function onNews(news: WorkerNews, memory: SharedArrayBuffer, from: WorkerHost): void {
    if (isClosed) return
    switch (news.kind) {
      case 'listening':
        port = news.port
        log.info(
          { port, info_hash: metainfo.infoHash, rack: nearby.rack },
          'swarm worker listening',
        )
        break
      case 'piece':
        track(writes, write(news, memory, from))
        break
      case 'read':
        track(reads, read(news, memory, from))
        break
      case 'verified':
        noteVerified(news.piece)
        break
      case 'refuted':
        onDisk[news.piece] = ON_DISK.no
        log.warn({ piece: news.piece }, 'piece on disk is wrong, fetching it')
        break
      case 'origin lost':
        log.warn({ reason: news.reason }, 'origin given up')
        options.onOriginLost(news.reason)
        break
      case 'warning':
        log.debug(news.fields, news.message)
        break
      default:
    }
  }

  function track(kind: Set<Promise<void>>, work: Promise<void>): void {
    kind.add(work)
    work.finally(() => kind.delete(work)).catch(() => undefined)
  }

  async function write(
    news: Extract<WorkerNews, { kind: 'piece' }>,
    memory: SharedArrayBuffer,
    to: WorkerHost,
  ): Promise<void> {
    const { piece } = news
    const { bytes } = slotAt(memory, shape, news.slot)
    try {
      await options.writePiece({
        offset: piece * metainfo.pieceLength,
        data: bytes.subarray(0, news.length),
        from: news.from,
        sha1: metainfo.pieces.subarray(piece * HASH_BYTES, (piece + 1) * HASH_BYTES),
      })
      to.send({ kind: 'written', piece })
      noteVerified(piece)
    } catch (error) {
      if (!isClosed) options.onFailure(error)
    }
  }

  async function read(
    news: Extract<WorkerNews, { kind: 'read' }>,
    memory: SharedArrayBuffer,
    to: WorkerHost,
  ): Promise<void> {
    const { piece } = news
    const range = pieceRange(metainfo, piece)
    const target = slotAt(memory, shape, news.slot).bytes.subarray(0, range.length)
    try {
      const bytes = await options.readImage(range, target)
      if (bytes !== target) target.set(bytes)
      to.send({ kind: 'read', piece, error: null })
    } catch (error) {
      log.warn({ err: error, piece }, 'piece cannot be read for upload')
      to.send({ kind: 'read', piece, error: messageOf(error) })
    }
  }

  function noteVerified(piece: number): void {
    if (onDisk[piece] === ON_DISK.verified) return
    onDisk[piece] = ON_DISK.verified
    verifiedCount += 1
    options.onPiece()
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
      return writes.size > 0
    },
    get isStarting() {
      return !host.isUp
    },
    get isComplete() {
      return verifiedCount === metainfo.pieceCount
    },
    nameRack: (rack) => {
      if (isClosed || nearby.rack === rack) return
      nearby = { ...nearby, rack }
      host.send({ kind: 'rack', rack })
    },
    close: async () => {
      isClosed = true
      await host.close()
      await Promise.allSettled([...writes, ...reads])
      share[Symbol.dispose]()
    },
  }
}

/** BEP 27: peers of a private torrent come from its trackers alone, unless the operator says otherwise. */
function withPrivacy(nearby: NearbyOptions, { isPrivate }: Metainfo): NearbyOptions {
  return isPrivate && nearby.lsd === 'auto' ? { ...nearby, lsd: 'off' } : nearby
}
