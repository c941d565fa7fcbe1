// SPDX-License-Identifier: Apache-2.0
// Owns one torrent in the library: what is made for it, and its life from the first listener to the
// farewell. What to fetch and whom to serve is the engine's.
import { networkInterfaces } from 'node:os'
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { TrackerFigures } from '../../../core/events.ts'
import type { AnnounceFigures } from '../announce/announcement.ts'
import type { TrackerNews } from '../announce/tracker.ts'
import { type AnnounceTarget, startTrackers, type Trackers } from '../announce/trackers.ts'
import type { PeerWire } from '../engine/peer-wire.ts'
import { createTokenBucket } from '../engine/token-bucket.ts'
import { OPENED_CONNS } from '../peers/connection-limits.ts'
import { ConnectionRoom } from '../peers/connection-room.ts'
import { createLocalDiscovery, type LocalDiscovery } from '../peers/local-discovery.ts'
import { createInterfaceLook, isNeighbour, ownAddresses } from '../peers/neighbours.ts'
import { PeerList } from '../peers/peer-list.ts'
import type { SwarmTask } from '../swarm-task.ts'
import { PieceSet } from '../torrent/piece-set.ts'
import type { BlockRequest } from '../wire/upload-queue.ts'
import { connectionsOf, createSilentStore, takeDecisions, usePieces } from './decisions.ts'
import { createConnectionMemory } from './message-channel.ts'
import { Newcomers } from './newcomers.ts'
import { parsedTorrentOf } from './parsed-torrent.ts'
import { adaptWire } from './peer-connection.ts'
import { RackHandshake } from './rack-handshake.ts'
import type { LibraryClient, LibraryTorrent } from './types.ts'
import { asError, createLibraryClient, destroyWithin } from './web-torrent.ts'

export interface SwarmClientOptions {
  readonly task: Pick<SwarmTask, 'torrent' | 'node' | 'limits' | 'http'>
  /** Ours, lower-case hex. */
  readonly peerId: string
  readonly maxConns: number
  /** Pieces on the disk at the start. */
  readonly have: Iterable<number>
  figures(): AnnounceFigures
  isServable(request: BlockRequest): boolean
  /** Calls `take` once, now or later, with the block or null; bytes are valid during the call only. */
  readBlock(request: BlockRequest, take: (block: Uint8Array | null) => void): void
  /** @param isFar whether the peer is in another rack; known better when it has introduced itself */
  onWire(wire: PeerWire, isFar: () => boolean): void
  onUploaded(bytes: number): void
  /** A tracker counts this many nodes. */
  onSwarmSize(nodes: number): void
  onTracker(news: TrackerNews): void
  onWarning(message: string): void
  /** A peer closed the connection at our handshake, and no other has talked to us. */
  onRefused(address: string): void
  /** The library gave the torrent up. */
  onFailure(error: Error): void
}

export interface SwarmClient {
  readonly port: number
  readonly trackers: readonly AnnounceTarget[]
  trackerFigures(): TrackerFigures[]
  /** One of them has answered. */
  readonly isKnownToTracker: boolean
  /** The piece is on the disk: new peers learn of it from the bitfield. */
  markHave(piece: number): void
  /** Everything is on the disk: tells the trackers. */
  markComplete(): void
  /** Tells those who are connected, and those to come, the name of our rack. */
  nameRack(rack: string): void
  /** Says goodbye to trackers and peers; resolves after `deadlineMs` at the latest. */
  close(deadlineMs: number): Promise<void>
}

/** What is made for one torrent. */
interface Parts {
  readonly torrent: LibraryTorrent
  readonly rack: RackHandshake
  readonly newcomers: Newcomers
  /** One more piece is on the disk. */
  addPiece(piece: number): void
}

/** Starts listening and announcing. Throws SwarmError if the library refuses the torrent or the port. */
export async function openSwarmClient(options: SwarmClientOptions): Promise<SwarmClient> {
  const { task, peerId, maxConns } = options
  const client = createLibraryClient({ peerId, maxConns, port: task.node.listenPort })
  let fail: (error: Error) => void = options.onFailure
  const failure = new Promise<never>((_, reject) => {
    fail = (error) => {
      options.onFailure(error)
      reject(error)
    }
  })
  client.on('error', (error) => fail(asError(error)))
  try {
    const parts = addTorrent(client, options, fail)
    await Promise.race([readyOf(parts.torrent, options), failure])
    return createClient(client, parts, options)
  } catch (error) {
    await destroyWithin(client, 1000)
    throw new AgentError('SwarmError', `the swarm client cannot start: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

function addTorrent(
  client: LibraryClient,
  options: SwarmClientOptions,
  fail: (error: Error) => void,
): Parts {
  const { task, peerId, maxConns } = options
  const { metainfo } = task.torrent
  const now = () => performance.now()
  // without trackers: those are announce/'s
  const torrent = client.add(parsedTorrentOf(metainfo), {
    store: createSilentStore,
    storeCacheSlots: 0,
    // of no pieces: nothing to verify at the start, the engine does it
    bitfield: new Uint8Array(0),
    skipVerify: false,
    deselect: true,
    alwaysChokeSeeders: false,
    uploads: 0,
  })
  const interfaces = createInterfaceLook(networkInterfaces, now)
  const peers = new PeerList({
    selfId: peerId,
    ownAddresses: () => ownAddresses(interfaces(), client.torrentPort),
    now,
  })
  const room = new ConnectionRoom({
    limit: maxConns,
    openLimit: Math.min(OPENED_CONNS, maxConns),
    table: connectionsOf(torrent),
    isNeighbour: (host) => isNeighbour(host, interfaces()),
  })
  const rack = new RackHandshake(task.node.nearby.rack, isNeighbourNow)
  let isMet = false
  torrent.on('wire', () => {
    isMet = true
  })
  takeDecisions(torrent, peers, room, (address) => {
    // among others that talk, one that is full closes at once too
    if (!isMet && !torrent.destroyed) options.onRefused(address)
  })
  torrent.on('warning', (warning) => options.onWarning(asError(warning).message))
  torrent.on('error', (error) => fail(asError(error)))
  const memory = createConnectionMemory()
  const uploadBudget = createTokenBucket(task.limits.uploadLimit, now)
  const newcomers = new Newcomers({
    torrent,
    listenPort: () => client.torrentPort,
    peers,
    room,
    rack,
    adapt: (wire, peer, address) =>
      adaptWire({
        wire,
        peer,
        address,
        memory,
        pieceCount: metainfo.pieceCount,
        info: metainfo.info,
        uploadBudget,
        now,
        isServable: options.isServable,
        readBlock: options.readBlock,
        onUploaded: options.onUploaded,
        onBanned: () => peers.ban(wire.peerId),
      }),
    onWire: options.onWire,
  })
  torrent.on('wire', (wire) => newcomers.meet(wire))
  const pieces = new PieceSet(metainfo.pieceCount)
  let haveCount = 0
  const addPiece = (piece: number) => {
    haveCount += Number(!pieces.has(piece))
    pieces.add(piece)
  }
  for (const piece of options.have) addPiece(piece)
  torrent.on('ready', () => usePieces(torrent, pieces, () => haveCount))
  return { torrent, rack, newcomers, addPiece }
}

/** Resolves when peers may come and hear of what is on the disk. */
function readyOf(torrent: LibraryTorrent, { task }: SwarmClientOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    torrent.on('ready', () => {
      if (torrent.infoHash !== task.torrent.metainfo.infoHash) {
        reject(new Error(`the library computes the info-hash ${torrent.infoHash}`))
        return
      }
      resolve()
    })
  })
}

function createClient(
  client: LibraryClient,
  { torrent, rack, newcomers, addPiece }: Parts,
  options: SwarmClientOptions,
): SwarmClient {
  const trackers = openTrackers(client, torrent, options, () => local?.noteTrackerAnswer())
  const local = discoverLocally(client, torrent, trackers.targets.length > 0, options)
  return {
    port: client.torrentPort,
    trackers: trackers.targets,
    trackerFigures: trackers.figures,
    get isKnownToTracker() {
      return trackers.isKnown
    },
    markHave: (piece) => {
      addPiece(piece)
      newcomers.noteHave(piece)
    },
    markComplete: () => {
      if (!torrent.destroyed) torrent._checkDone()
      trackers.complete()
    },
    nameRack: (name) => {
      if (!torrent.destroyed) rack.name(name)
    },
    close: async (deadlineMs) => {
      local?.close()
      await Promise.all([trackers.close(deadlineMs), destroyWithin(client, deadlineMs)])
    },
  }
}

function openTrackers(
  client: LibraryClient,
  torrent: LibraryTorrent,
  options: SwarmClientOptions,
  onAnswer: () => void,
): Trackers & { readonly isKnown: boolean } {
  const { task, peerId, figures } = options
  let isKnown = false
  // BEP 3: who has begun with everything has not completed it
  const wasComplete = figures().left === 0
  const trackers = startTrackers({
    urls: task.torrent.trackers.flat(),
    http: task.http,
    infoHash: task.torrent.metainfo.infoHash,
    peerId,
    port: client.torrentPort,
    figures,
    onAnswer: ({ peers, nodes }) => {
      isKnown = true
      onAnswer()
      if (nodes !== undefined) options.onSwarmSize(nodes)
      for (const address of peers) if (!torrent.destroyed) torrent.addPeer(address, 'tracker')
    },
    onNews: options.onTracker,
    onRemark: (tracker, words) => options.onWarning(`${tracker} says: ${words}`),
    now: () => performance.now(),
  })
  return {
    ...trackers,
    complete: () => {
      if (!wasComplete) trackers.complete()
    },
    get isKnown() {
      return isKnown
    },
  }
}

function discoverLocally(
  client: LibraryClient,
  torrent: LibraryTorrent,
  hasTrackers: boolean,
  { task, figures, onWarning }: SwarmClientOptions,
): LocalDiscovery | undefined {
  const { lsd: mode } = task.node.nearby
  const { infoHash, isPrivate } = task.torrent.metainfo
  // BEP 27: peers of a private torrent come from its trackers alone, unless the operator says otherwise
  if (mode === 'off' || (mode === 'auto' && isPrivate)) return undefined
  const discovery = createLocalDiscovery({
    mode,
    hasTrackers,
    infoHash,
    port: client.torrentPort,
    isDownloading: () => figures().left > 0,
    isNeighbour: isNeighbourNow,
    onPeer: (address) => {
      if (!torrent.destroyed) torrent.addPeer(address, 'lsd')
    },
    onTrouble: onWarning,
    random: Math.random,
    now: () => performance.now(),
  })
  return discovery
}

/** What stays for as long as a connection does is not decided by what was a moment ago. */
function isNeighbourNow(host: string): boolean {
  return isNeighbour(host, networkInterfaces())
}
