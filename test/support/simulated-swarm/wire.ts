// SPDX-License-Identifier: Apache-2.0
// Owns one end of a simulated BitTorrent connection: the engine's PeerWire over a simulated network, and
// what the agent's upload queue does. Decides nothing.
import type { ClaimKind } from '../../../agent/sources/swarm/engine/origin/claim.ts'
import type {
  BlockCallback,
  PeerWire,
  WireListener,
} from '../../../agent/sources/swarm/engine/peer-wire.ts'
import { bitsOf } from '../../../agent/sources/swarm/torrent/piece-set.ts'
import type { Connection, Parcel } from './links.ts'

const MAX_REQUESTS = 512

interface Request extends Parcel {
  readonly piece: number
  readonly offset: number
  readonly callback: BlockCallback
}

/** What a wire's owner has to send. */
export interface WireEnd {
  readonly connection: Connection
  /** Whether we have it; what the other end learns first. */
  readonly pieceCount: number
  has(piece: number): boolean
  blockOf(piece: number, length: number): Uint8Array
}

export class SimulatedWire implements PeerWire {
  readonly peerId: string
  readonly address: string
  readonly isSharingOrigin = true
  readonly maxRequests = MAX_REQUESTS
  isPeerChoking = true
  isPeerInterested = false
  isChoking = true
  /** What we send them. */
  readonly #connection: Connection
  readonly #requests = new Set<Request>()
  readonly #end: WireEnd
  #other: SimulatedWire | undefined
  #listener: WireListener | undefined
  #isInterested = false
  #isClosed = false

  constructor(peerId: string, end: WireEnd) {
    this.peerId = peerId
    this.address = peerId.slice(-8)
    this.#connection = end.connection
    this.#end = end
  }

  join(other: SimulatedWire): void {
    this.#other = other
  }

  listen(listener: WireListener): void {
    this.#listener = listener
    const other = this.#other as SimulatedWire
    listener.onBitfield(bitsOf(this.#end.pieceCount, (piece) => other.#end.has(piece)))
  }

  request(piece: number, offset: number, length: number, callback: BlockCallback): void {
    const other = this.#other
    if (this.#isClosed || this.isPeerChoking || other === undefined) {
      callback(null)
      return
    }
    const request: Request = {
      piece,
      offset,
      bytes: length,
      callback,
      arrive: () => {
        if (!this.#requests.delete(request)) {
          this.#listener?.onUnasked(length)
          return
        }
        callback(other.#end.blockOf(piece, length))
      },
    }
    this.#requests.add(request)
    this.#tell((peer) => {
      if (!this.#requests.has(request)) return
      if (peer.isChoking) this.#refuse(request)
      else peer.#connection.send(request)
    })
  }

  cancel(piece: number, offset: number): void {
    for (const request of this.#requests) {
      if (request.piece !== piece || request.offset !== offset) continue
      this.#requests.delete(request)
      request.callback(null)
      // what has not left the other's queue never will
      this.#tell((peer) => peer.#withdraw((each) => each === request))
      return
    }
  }

  have(piece: number): void {
    this.#tell((peer) => peer.#listener?.onHave(piece))
  }

  claim(kind: ClaimKind, hops: number, pieces: readonly number[]): void {
    this.#tell((peer) => peer.#listener?.onClaim(kind, hops, pieces))
  }

  choke(): void {
    this.isChoking = true
    this.#withdraw(() => true)
    this.#tell((peer) => {
      peer.isPeerChoking = true
      for (const request of [...peer.#requests]) peer.#refuse(request)
      peer.#listener?.onChoke()
    })
  }

  unchoke(): void {
    this.isChoking = false
    this.#tell((peer) => {
      peer.isPeerChoking = false
      peer.#listener?.onUnchoke()
    })
  }

  setInterested(isInterested: boolean): void {
    if (isInterested === this.#isInterested) return
    this.#isInterested = isInterested
    this.#tell((peer) => {
      peer.isPeerInterested = isInterested
      if (isInterested) peer.#listener?.onInterested()
    })
  }

  close(): void {
    if (this.#isClosed) return
    const other = this.#other
    this.#finish()
    this.#connection.tell(() => {
      if (other) other.#finish()
    })
  }

  #finish(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#withdraw(() => true)
    for (const request of [...this.#requests]) this.#refuse(request)
    this.#listener?.onClose()
  }

  #refuse(request: Request): void {
    if (this.#requests.delete(request)) request.callback(null)
  }

  #withdraw(isMeant: (parcel: Parcel) => boolean): void {
    const { queue } = this.#connection
    const kept = queue.filter((parcel) => !isMeant(parcel))
    queue.splice(0, queue.length, ...kept)
  }

  #tell(news: (peer: SimulatedWire) => void): void {
    this.#connection.tell(() => {
      if (!this.#isClosed && this.#other) news(this.#other)
    })
  }
}
