// SPDX-License-Identifier: Apache-2.0
// Owns the only import of webtorrent: listening, connecting, handshakes, trackers, PEX. What to fetch
// and whom to serve is the engine's: the library's picker, choker and web seeds are switched off.
import WebTorrent from 'webtorrent'
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { PeerWire } from '../engine/peer-wire.ts'
import type { TokenBucket } from '../engine/token-bucket.ts'
import { OPENED_CONNS } from '../peers/connection-limits.ts'
import { ConnectionRoom } from '../peers/connection-room.ts'
import { createLocalDiscovery, type LocalDiscovery } from '../peers/local-discovery.ts'
import { createInterfaceLook, type Interfaces, isNeighbour } from '../peers/neighbours.ts'
import { isIronswarm, PeerList } from '../peers/peer-list.ts'
import type { AnnounceTarget } from '../session/announcer.ts'
import type { NearbyOptions } from '../thread/protocol.ts'
import type { BlockRequest } from '../wire/upload-queue.ts'
import { adaptWire } from './peer-connection.ts'
import { Whereabouts } from './rack-handshake.ts'
import { announceTargets } from './trackers.ts'
import type { LibraryClient, LibraryStore, LibraryTorrent, LibraryWire } from './types.ts'

/** More than connections, so that neighbours are among them; opentracker gives no more. */
const WANTED_ADDRESSES = 200
/** The extended handshake follows the first one at once. */
const HANDSHAKE_MS = 1000

export interface SwarmClientOptions {
  /** A .torrent with the merged trackers. */
  readonly torrentFile: Uint8Array
  readonly infoHash: string
  readonly pieceCount: number
  /** Ours, lower-case hex. */
  readonly peerId: string
  /** 0 for any. */
  readonly listenPort: number
  readonly maxConns: number
  readonly uploadBudget: TokenBucket
  readonly nearby: NearbyOptions
  /** Pieces on the disk at the start. */
  readonly have: readonly number[]
  figures(): { readonly uploaded: number; readonly downloaded: number; readonly left: number }
  isServable(request: BlockRequest): boolean
  /** Calls `take` once, now or later, with the block or null; bytes are valid during the call only. */
  readBlock(request: BlockRequest, take: (block: Uint8Array | null) => void): void
  /** @param isFar whether the peer is in another rack; known better when it has introduced itself */
  onWire(wire: PeerWire, isFar: () => boolean): void
  onUploaded(bytes: number): void
  /** A tracker counts this many nodes. */
  onSwarmSize(nodes: number): void
  onWarning(message: string): void
  /** The library gave the torrent up. */
  onFailure(error: Error): void
}

export interface SwarmClient {
  readonly port: number
  readonly trackers: readonly AnnounceTarget[]
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

/** Starts listening and announcing. Throws SwarmError if the library refuses the torrent or the port. */
export async function openSwarmClient(options: SwarmClientOptions): Promise<SwarmClient> {
  const client = new WebTorrent({
    peerId: options.peerId,
    torrentPort: options.listenPort,
    // ours to keep (connection-room.ts): those that were just closed still count for the library
    maxConns: 2 * options.maxConns,
    // TCP and trackers only, local discovery is ours: nothing of this leaves the deploy network, and secure:1 never falls back
    // to plain text with peers that know no encryption
    dht: false,
    lsd: false,
    utp: false,
    natUpnp: false,
    natPmp: false,
    webSeeds: false,
    secure: 0,
    utPex: true, // switched off by the library for private torrents (BEP 27)
    tracker: {
      getAnnounceOpts: () => ({ ...options.figures(), numwant: WANTED_ADDRESSES }),
      wrtc: false,
    },
  }) as LibraryClient
  let fail: (error: Error) => void = options.onFailure
  const failure = new Promise<never>((_, reject) => {
    fail = (error) => {
      options.onFailure(error)
      reject(error)
    }
  })
  client.on('error', (error) => fail(asError(error)))
  try {
    const strangers: Strangers = new Map()
    const whereabouts = new Whereabouts(options.nearby.rack)
    const adding = addTorrent(client, options, strangers, whereabouts, fail)
    const torrent = await Promise.race([adding, failure])
    const discovery = discoverLocally(client, torrent, options)
    return createClient(client, torrent, strangers, whereabouts, discovery)
  } catch (error) {
    await destroyWithin(client, 1000)
    throw new AgentError('SwarmError', `the swarm client cannot start: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/**
 * Wires between bitfield and introduction to the engine, each with the pieces that came in since: the
 * engine does not know these wires yet and the bitfield did not have the pieces.
 */
type Strangers = Map<LibraryWire, number[]>

function addTorrent(
  client: LibraryClient,
  options: SwarmClientOptions,
  strangers: Strangers,
  whereabouts: Whereabouts,
  fail: (error: Error) => void,
): Promise<LibraryTorrent> {
  return new Promise((resolve, reject) => {
    const torrent = client.add(options.torrentFile, {
      store: createSilentStore,
      storeCacheSlots: 0,
      // all zeros: nothing to verify at the start, the engine does it
      bitfield: new Uint8Array(Math.ceil(options.pieceCount / 8)),
      skipVerify: false,
      deselect: true,
      alwaysChokeSeeders: false,
      uploads: 0,
    })
    const interfaces = createInterfaceLook()
    const peers = new PeerList({
      selfId: options.peerId,
      ownAddresses: () => ownAddresses(interfaces(), client.torrentPort),
      now: () => performance.now(),
    })
    const openLimit = Math.min(OPENED_CONNS, options.maxConns)
    const room = new ConnectionRoom({
      limit: options.maxConns,
      openLimit,
      torrent,
      isNeighbour: (host) => isNeighbour(host, interfaces()),
    })
    takeOver(torrent, peers, room)
    torrent.on('warning', (warning) => options.onWarning(asError(warning).message))
    torrent.on('error', (error) => fail(asError(error)))
    torrent.on('wire', (wire) =>
      meet(client, torrent, wire, { peers, room, whereabouts }, strangers, options),
    )
    torrent.on('ready', () => {
      torrent.discovery?.tracker?.on('update', ({ complete, incomplete }) => {
        const nodes = Number(complete) + Number(incomplete)
        if (Number.isSafeInteger(nodes)) options.onSwarmSize(nodes)
      })
      if (torrent.infoHash !== options.infoHash) {
        reject(new Error(`the library computes the info-hash ${torrent.infoHash}`))
        return
      }
      for (const piece of options.have) torrent._markVerified(piece)
      resolve(torrent)
    })
  })
}

/** Puts the library's own decisions out of the way (three methods, as measured, and their callers). */
function takeOver(torrent: LibraryTorrent, peers: PeerList, room: ConnectionRoom): void {
  const nothing = () => undefined
  torrent._update = nothing
  torrent._updateWire = nothing
  torrent._updateWireInterest = nothing
  torrent._updateInterest = nothing
  torrent._rechoke = nothing
  const addPeer = torrent._addPeer.bind(torrent)
  torrent._addPeer = (address, type, source) => {
    const known = torrent._peers
    if (typeof address !== 'string') return addPeer(address, type, source)
    if (known?.has(address) || !peers.mayConnect(address, known?.size ?? 0)) return null
    if (!room.mayOpen() || !room.admit(address)) return null
    peers.noteTry(address)
    return addPeer(address, type, source)
  }
  // the library itself lets everybody in
  const addIncomingPeer = torrent._addIncomingPeer.bind(torrent)
  torrent._addIncomingPeer = (peer) => {
    if (room.admit(peer.id)) addIncomingPeer(peer)
    else peer.destroy(new Error('no room for another connection'))
  }
}

interface Acquaintance {
  readonly peers: PeerList
  readonly room: ConnectionRoom
  readonly whereabouts: Whereabouts
}

/** A new wire: closes it if it leads to ourselves or to somebody we know, else gives it to the engine. */
function meet(
  client: LibraryClient,
  torrent: LibraryTorrent,
  wire: LibraryWire,
  { peers, room, whereabouts }: Acquaintance,
  strangers: Strangers,
  options: SwarmClientOptions,
): void {
  const address = `${wire.remoteAddress ?? '?'}:${wire.remotePort ?? 0}`
  const isOutgoing = wire.type.includes('Outgoing')
  // BEP 10: where we listen, so that an incoming connection tells who it is
  wire.extendedHandshake['p'] = client.torrentPort
  wire.extendedHandshake['reqq'] = 512
  const isElsewhere = whereabouts.follow(wire, (isFar) => {
    const { p } = wire.peerExtendedHandshake
    room.place(address, isFar)
    if (isOutgoing || typeof p !== 'number') return
    peers.learn(`${wire.remoteAddress}:${p}`, wire.peerId)
    room.place(`${wire.remoteAddress}:${p}`, isFar)
  })
  if (isOutgoing) peers.learn(address, wire.peerId)
  const rivals = torrent.wires.filter((other) => other !== wire && other.peerId === wire.peerId)
  const superfluous = peers.judge(wire, rivals)
  superfluous?.destroy()
  if (superfluous === wire) return
  peers.connect(wire.peerId)
  strangers.set(wire, [])
  wire.once('close', () => {
    peers.disconnect(wire.peerId)
    strangers.delete(wire)
  })
  const adapted = adaptWire({
    wire,
    peer: [...(torrent._peers?.values() ?? [])].find((peer) => peer.wire === wire),
    address,
    pieceCount: options.pieceCount,
    uploadBudget: options.uploadBudget,
    isServable: options.isServable,
    readBlock: options.readBlock,
    onUploaded: options.onUploaded,
    onClosed: (_reason, isBanned) => {
      if (isBanned) peers.ban(wire.peerId)
    },
  })
  // the library sends handshake and bitfield first, in microtasks after this event and after `ready`
  const introduce = () =>
    setImmediate(() => {
      if (wire.destroyed || torrent.destroyed) return
      for (const piece of strangers.get(wire) ?? []) wire.have(piece)
      strangers.delete(wire)
      options.onWire(adapted, isElsewhere)
    })
  const introduceWhenReady = () => {
    if (torrent.ready) introduce()
    else torrent.on('ready', introduce)
  }
  // its rack decides what is asked of it first
  if (whereabouts.isNamed && isIronswarm(wire.peerId)) afterHandshake(wire, introduceWhenReady)
  else introduceWhenReady()
}

/** Calls `next` once: after the extended handshake (BEP 10), or when it has not come for a while. */
function afterHandshake(wire: LibraryWire, next: () => void): void {
  let isDone = false
  const go = () => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    next()
  }
  const timer = setTimeout(go, HANDSHAKE_MS)
  wire.once('extended', go)
  wire.once('close', () => clearTimeout(timer))
}

function discoverLocally(
  client: LibraryClient,
  torrent: LibraryTorrent,
  { nearby, infoHash, figures, onWarning }: SwarmClientOptions,
): LocalDiscovery | undefined {
  if (nearby.lsd === 'off') return undefined
  const discovery = createLocalDiscovery({
    mode: nearby.lsd,
    hasTrackers: (torrent.discovery?.tracker?._trackers.length ?? 0) > 0,
    infoHash,
    port: client.torrentPort,
    isDownloading: () => figures().left > 0,
    onPeer: (address) => {
      if (!torrent.destroyed) torrent.addPeer(address, 'lsd')
    },
    onTrouble: onWarning,
    random: Math.random,
    now: () => performance.now(),
  })
  torrent.on('trackerAnnounce', () => discovery.noteTrackerAnswer())
  return discovery
}

function createClient(
  client: LibraryClient,
  torrent: LibraryTorrent,
  strangers: Strangers,
  whereabouts: Whereabouts,
  discovery: LocalDiscovery | undefined,
): SwarmClient {
  let isKnownToTracker = false
  torrent.on('trackerAnnounce', () => {
    isKnownToTracker = true
  })
  return {
    port: client.torrentPort,
    get isKnownToTracker() {
      return isKnownToTracker
    },
    get trackers() {
      return announceTargets(torrent.discovery?.tracker)
    },
    markHave: (piece) => {
      if (!torrent.destroyed) torrent._markVerified(piece)
      for (const missed of strangers.values()) missed.push(piece)
    },
    markComplete: () => {
      if (!torrent.destroyed) torrent._checkDone()
    },
    nameRack: (rack) => {
      if (!torrent.destroyed) whereabouts.name(rack)
    },
    close: (deadlineMs) => {
      discovery?.close()
      return destroyWithin(client, deadlineMs)
    },
  }
}

function destroyWithin(client: LibraryClient, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, deadlineMs)
    client.destroy(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** The library neither reads nor writes pieces: requests are answered by the upload queue. */
function createSilentStore(): LibraryStore {
  const refusal = new Error('pieces do not pass through the library')
  return {
    get: (_piece, _options, callback) => queueMicrotask(() => callback(refusal)),
    put: (_piece, _bytes, callback) => queueMicrotask(() => callback(refusal)),
    close: (callback) => queueMicrotask(() => callback(null)),
    destroy: (callback) => queueMicrotask(() => callback(null)),
  }
}

function ownAddresses(interfaces: Interfaces, port: number): Set<string> {
  const addresses = Object.values(interfaces).flatMap((each) => each ?? [])
  return new Set(
    addresses.map(({ address, family }) =>
      family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
    ),
  )
}

function asError(error: Error | string): Error {
  return error instanceof Error ? error : new Error(String(error))
}
