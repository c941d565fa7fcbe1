// SPDX-License-Identifier: Apache-2.0
// Owns one torrent in the library and what is made for it: who its peers are, the room for them, what they are told
// at first. What to fetch and whom to serve is the engine's.
import { networkInterfaces } from 'node:os'
import type { PeerWire } from '../engine/peer-wire.ts'
import { createTokenBucket } from '../engine/token-bucket.ts'
import { OPENED_CONNS } from '../peers/connection-limits.ts'
import { ConnectionRoom } from '../peers/connection-room.ts'
import { createInterfaceLook, isNeighbour, ownAddresses } from '../peers/neighbours.ts'
import { PeerList } from '../peers/peer-list.ts'
import type { SwarmTask } from '../swarm-task.ts'
import { AnnouncedPieces, connectionsOf, createSilentStore, takeDecisions } from './decisions.ts'
import { createConnectionMemory } from './message-channel.ts'
import { Newcomers, type NewcomersDeps } from './newcomers.ts'
import { parsedTorrentOf } from './parsed-torrent.ts'
import { adaptWire, type WireDeps } from './peer-connection.ts'
import { RackHandshake } from './rack-handshake.ts'
import type { LibraryClient, LibraryTorrent } from './types.ts'
import { asError } from './web-torrent.ts'

export interface AddedTorrentDeps
  extends Pick<WireDeps, 'isServable' | 'readBlock' | 'onUploaded'> {
  readonly task: Pick<SwarmTask, 'torrent' | 'node' | 'limits'>
  /** Ours, lower-case hex. */
  readonly peerId: string
  readonly maxConns: number
  /** Pieces on the disk at the start. */
  readonly have: Iterable<number>
  /** @param isFar whether the peer is in another rack; known better when it has introduced itself */
  onWire(wire: PeerWire, isFar: () => boolean): void
  onWarning(message: string): void
  /** A peer closed the connection at our handshake, and no other has talked to us. */
  onRefused(address: string): void
}

export interface AddedTorrent {
  readonly torrent: LibraryTorrent
  readonly rack: RackHandshake
  readonly newcomers: Newcomers
  readonly pieces: AnnouncedPieces
}

/** @param onFailure the library gives the torrent up */
export function addTorrent(
  client: LibraryClient,
  deps: AddedTorrentDeps,
  onFailure: (error: Error) => void,
): AddedTorrent {
  const { task, peerId, maxConns } = deps
  const torrent = addTo(client, deps)
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
  takeDecisions(torrent, peers, room, createRefusals(torrent, deps.onRefused))
  torrent.on('warning', (warning) => deps.onWarning(asError(warning).message))
  torrent.on('error', (error) => onFailure(asError(error)))
  const newcomers = new Newcomers({
    torrent,
    listenPort: () => client.torrentPort,
    peers,
    room,
    rack,
    adapt: createAdapter(deps, peers),
    onWire: deps.onWire,
  })
  torrent.on('wire', (wire) => newcomers.meet(wire))
  const pieces = new AnnouncedPieces(task.torrent.metainfo.pieceCount, deps.have)
  torrent.on('ready', () => pieces.showTo(torrent))
  return { torrent, rack, newcomers, pieces }
}

/** What stays for as long as a connection does is not decided by what was a moment ago. */
export function isNeighbourNow(host: string): boolean {
  return isNeighbour(host, networkInterfaces())
}

function now(): number {
  return performance.now()
}

/** Without trackers: those are announce/'s. */
function addTo(client: LibraryClient, { task }: AddedTorrentDeps): LibraryTorrent {
  return client.add(parsedTorrentOf(task.torrent.metainfo), {
    store: createSilentStore,
    storeCacheSlots: 0,
    // of no pieces: nothing to verify at the start, the engine does it
    bitfield: new Uint8Array(0),
    skipVerify: false,
    deselect: true,
    alwaysChokeSeeders: false,
    uploads: 0,
  })
}

/** Who closes at once is worth a word only as long as nobody has talked: one that is full closes at once too. */
function createRefusals(
  torrent: LibraryTorrent,
  onRefused: (address: string) => void,
): (address: string) => void {
  let isMet = false
  torrent.on('wire', () => {
    isMet = true
  })
  return (address) => {
    if (!isMet && !torrent.destroyed) onRefused(address)
  }
}

/** Takes wires over; they share memory and the limit of uploads. */
function createAdapter(deps: AddedTorrentDeps, peers: PeerList): NewcomersDeps['adapt'] {
  const { metainfo } = deps.task.torrent
  const memory = createConnectionMemory()
  const uploadBudget = createTokenBucket(deps.task.limits.uploadLimit, now)
  return (wire, peer, address) =>
    adaptWire({
      wire,
      peer,
      address,
      memory,
      pieceCount: metainfo.pieceCount,
      info: metainfo.info,
      uploadBudget,
      now,
      isServable: deps.isServable,
      readBlock: deps.readBlock,
      onUploaded: deps.onUploaded,
      onBanned: () => peers.ban(wire.peerId),
    })
}
