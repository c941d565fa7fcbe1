// SPDX-License-Identifier: Apache-2.0
// Owns the time between a peer's handshake and its introduction to the engine: is it somebody new, where
// is it, what has happened meanwhile. Does not talk to it any further.
import type { PeerWire } from '../engine/peer-wire.ts'
import type { ConnectionRoom } from '../peers/connection-room.ts'
import { isIronswarm, type PeerList } from '../peers/peer-list.ts'
import type { RackHandshake } from './rack-handshake.ts'
import type { LibraryPeer, LibraryTorrent, LibraryWire } from './types.ts'

/** The extended handshake follows the first one at once. */
const HANDSHAKE_MS = 1000
/** Requests that we let a peer queue (BEP 10 `reqq`). */
const QUEUED_REQUESTS = 512

export interface NewcomersDeps {
  readonly torrent: LibraryTorrent
  /** TCP port peers connect to. */
  listenPort(): number
  readonly peers: PeerList
  readonly room: ConnectionRoom
  readonly rack: RackHandshake
  /** Takes the wire over from the library. */
  adapt(wire: LibraryWire, peer: LibraryPeer, address: string): PeerWire
  /** @param isFar whether the peer is in another rack; known better when it has introduced itself */
  onWire(wire: PeerWire, isFar: () => boolean): void
}

export class Newcomers {
  readonly #deps: NewcomersDeps
  /**
   * Wires between bitfield and introduction, each with the pieces that came in since: the engine does not
   * know these wires yet and the bitfield did not have the pieces.
   */
  readonly #missed = new Map<LibraryWire, number[]>()

  constructor(deps: NewcomersDeps) {
    this.#deps = deps
  }

  /** A new wire: closes it if it leads to ourselves or to somebody we know, else gives it to the engine. */
  meet(wire: LibraryWire): void {
    const { torrent, listenPort, peers, room, rack } = this.#deps
    const address = `${wire.remoteAddress ?? '?'}:${wire.remotePort ?? 0}`
    const { isOutgoing } = acquaintanceOf(wire)
    // BEP 10: where we listen, so that an incoming connection tells who it is
    wire.extendedHandshake['p'] = listenPort()
    wire.extendedHandshake['reqq'] = QUEUED_REQUESTS
    const isElsewhere = rack.follow(wire, (isFar) => {
      const { p } = wire.peerExtendedHandshake
      room.place(address, isFar)
      if (isOutgoing || typeof p !== 'number') return
      peers.learn(`${wire.remoteAddress}:${p}`, wire.peerId)
      room.place(`${wire.remoteAddress}:${p}`, isFar)
    })
    if (isOutgoing) peers.learn(address, wire.peerId)
    const peer = [...(torrent._peers?.values() ?? [])].find((each) => each.wire === wire)
    if (peer === undefined) wire.destroy()
    if (peer === undefined || this.#isSuperfluous(wire)) return
    peers.connect(wire.peerId)
    this.#missed.set(wire, [])
    wire.once('close', () => {
      peers.disconnect(wire.peerId)
      this.#missed.delete(wire)
    })
    const adapted = this.#deps.adapt(wire, peer, address)
    this.#introduceLater(wire, () => this.#deps.onWire(adapted, isElsewhere))
  }

  /** The piece is on the disk. */
  noteHave(piece: number): void {
    for (const missed of this.#missed.values()) missed.push(piece)
  }

  /** Of two connections to one peer one goes: this one, or the one there was. */
  #isSuperfluous(wire: LibraryWire): boolean {
    const rivals = this.#deps.torrent.wires.filter(
      (other) => other !== wire && other.peerId === wire.peerId,
    )
    const superfluous = this.#deps.peers.judge(acquaintanceOf(wire), rivals.map(acquaintanceOf))
    superfluous?.wire.destroy()
    return superfluous?.wire === wire
  }

  #introduceLater(wire: LibraryWire, introduce: () => void): void {
    const { torrent, rack } = this.#deps
    // the library sends handshake and bitfield first, in microtasks after this event and after `ready`
    const soon = () =>
      setImmediate(() => {
        if (wire.destroyed || torrent.destroyed) return
        for (const piece of this.#missed.get(wire) ?? []) wire.have(piece)
        this.#missed.delete(wire)
        introduce()
      })
    const whenReady = () => {
      if (torrent.ready) soon()
      else torrent.on('ready', soon)
    }
    // its rack decides what is asked of it first
    if (rack.isNamed && isIronswarm(wire.peerId)) afterHandshake(wire, whenReady)
    else whenReady()
  }
}

function acquaintanceOf(wire: LibraryWire) {
  return { peerId: wire.peerId, isOutgoing: wire.type.includes('Outgoing'), wire }
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
