// SPDX-License-Identifier: Apache-2.0
// Owns what the library is not to decide, nor to know: what to fetch and whom to serve, which is the engine's; whom
// to connect to, which is peers/'s; the pieces. Does not decide it either.
import type { ConnectionRoom, ConnectionTable } from '../peers/connection-room.ts'
import type { PeerList } from '../peers/peer-list.ts'
import { PieceSet } from '../torrent/piece-set.ts'
import type { LibraryPeer, LibraryStore, LibraryTorrent } from './types.ts'

/** An answer of a peer that is there takes less. */
const AT_ONCE_MS = 3000

/** The pieces that new peers are told we have; those who are connected hear of each from the engine. */
export class AnnouncedPieces {
  readonly #pieces: PieceSet
  #count = 0

  /** @param have on the disk at the start */
  constructor(pieceCount: number, have: Iterable<number>) {
    this.#pieces = new PieceSet(pieceCount)
    for (const piece of have) this.add(piece)
  }

  /** The piece is on the disk, too. */
  add(piece: number): void {
    if (!this.#pieces.has(piece)) this.#count += 1
    this.#pieces.add(piece)
  }

  /** The library has no pieces of its own to tell of. Call when the torrent is ready. */
  showTo(torrent: LibraryTorrent): void {
    const pieces = this.#pieces
    torrent.bitfield = { buffer: pieces.bits, get: (piece) => pieces.has(piece) }
    torrent._hasAllPieces = () => this.#count === pieces.pieceCount
    torrent._hasNoPieces = () => this.#count === 0
  }
}

/** Puts the library's own decisions out of the way (three methods, as measured, and their callers). */
export function takeDecisions(
  torrent: LibraryTorrent,
  peers: PeerList,
  room: ConnectionRoom,
  onRefused: (address: string) => void,
): void {
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
    const peer = addPeer(address, type, source)
    if (peer !== null) followHandshake(peer, () => onRefused(address))
    return peer
  }
  // the library itself lets everybody in
  const addIncomingPeer = torrent._addIncomingPeer.bind(torrent)
  torrent._addIncomingPeer = (peer) => {
    if (room.admit(peer.id)) addIncomingPeer(peer)
    else peer.destroy(new Error('no room for another connection'))
  }
}

/** Whoever takes a connection and closes it at our handshake does not want to talk as we do. */
function followHandshake(peer: LibraryPeer, onRefused: () => void): void {
  let connectedAt = 0
  peer.once('connect', () => {
    connectedAt = performance.now()
  })
  peer.once('disconnect', () => {
    const isAtOnce = performance.now() - connectedAt < AT_ONCE_MS
    if (peer._handshakeDone !== true && isAtOnce) onRefused()
  })
}

/** The library's connections, for the room that they take. */
export function connectionsOf(torrent: LibraryTorrent): ConnectionTable {
  return {
    addresses: () => [...(torrent._peers?.keys() ?? [])],
    isMet: (address) => (torrent._peers?.get(address)?.wire ?? null) !== null,
    close: (address) => torrent.removePeer(address),
  }
}

/** The library neither reads nor writes pieces: requests are answered past it. */
export function createSilentStore(): LibraryStore {
  const refusal = new Error('pieces do not pass through the library')
  return {
    get: (_piece, _options, callback) => queueMicrotask(() => callback(refusal)),
    put: (_piece, _bytes, callback) => queueMicrotask(() => callback(refusal)),
    close: (callback) => queueMicrotask(() => callback(null)),
    destroy: (callback) => queueMicrotask(() => callback(null)),
  }
}
