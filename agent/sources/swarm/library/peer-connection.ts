// SPDX-License-Identifier: Apache-2.0
// Owns one connection to a peer as the engine sees it: what was asked and said, who chokes whom. Only
// extensions (BEP 10) stay with the library. Does not decide whom to talk to.

import type { ClaimKind } from '../engine/origin/claim.ts'
import type { BlockCallback, PeerWire, WireListener } from '../engine/peer-wire.ts'
import type { TokenBucket } from '../engine/token-bucket.ts'
import { isIronswarm } from '../peers/peer-list.ts'
import { bitsOf } from '../torrent/piece-set.ts'
import { BlockRequests } from '../wire/block-requests.ts'
import type { MessageHandler } from '../wire/message-parser.ts'
import { MessageRates } from '../wire/message-rates.ts'
import type { MessageWriter } from '../wire/message-writer.ts'
import { MESSAGE_IDS } from '../wire/messages.ts'
import { type BlockRequest, createUploadQueue, type UploadQueue } from '../wire/upload-queue.ts'
import { type ClaimExtension, offerClaims } from './claim-extension.ts'
import {
  type ConnectionMemory,
  createMessageChannel,
  limitReading,
  type MessageChannel,
} from './message-channel.ts'
import { offerMetadata } from './metadata-extension.ts'
import type { LibraryPeer, LibraryWire } from './types.ts'

const DEFAULT_REQQ = 250
/** What waits for a peer before it is sent the next 16 KiB of the info dictionary. */
const METADATA_WINDOW_BYTES = 16 * 1024
/** BEP 6 has one, right after the handshake: five bytes that cost a look at every piece. */
const MAX_SUMMARIES = 4

export interface WireDeps {
  readonly wire: LibraryWire
  readonly peer: LibraryPeer
  readonly address: string
  readonly memory: ConnectionMemory
  readonly pieceCount: number
  /** The info dictionary, for peers that have only a magnet link. */
  readonly info: Uint8Array
  readonly uploadBudget: TokenBucket
  readonly now: () => number
  isServable(request: BlockRequest): boolean
  /** Calls `take` once, now or later, with the block or null; bytes are valid during the call only. */
  readBlock(request: BlockRequest, take: (block: Uint8Array | null) => void): void
  onUploaded(bytes: number): void
  /** The engine or a limit has found the peer out. */
  onBanned(): void
}

/** The engine's view of a library wire whose handshake is done. */
export function adaptWire(deps: WireDeps): PeerWire {
  return new PeerConnection(deps)
}

class PeerConnection implements PeerWire, MessageHandler {
  readonly peerId: string
  readonly address: string
  readonly isSharingOrigin: boolean
  isPeerChoking = true
  isPeerInterested = false
  isChoking = true
  readonly #deps: WireDeps
  readonly #wire: LibraryWire
  readonly #channel: MessageChannel
  readonly #writer: MessageWriter
  readonly #uploads: UploadQueue
  readonly #requests = new BlockRequests()
  readonly #rates: MessageRates
  readonly #claims: ClaimExtension | undefined
  #listener: WireListener | undefined
  #summaries = 0
  #isInterested = false
  #isClosed = false

  constructor(deps: WireDeps) {
    const { wire, peer, memory } = deps
    this.#deps = deps
    this.#wire = wire
    this.peerId = wire.peerId
    this.address = deps.address
    this.isSharingOrigin = isIronswarm(wire.peerId)
    this.#rates = new MessageRates(deps.pieceCount, deps.now)
    this.#channel = createMessageChannel({
      wire,
      peer,
      memory,
      handler: this,
      rates: this.#rates,
      pieceCount: deps.pieceCount,
      onDrain: () => this.#uploads.pump(),
      onFailure: (reason) => this.close(reason, false),
    })
    this.#writer = this.#channel.writer
    this.#uploads = this.#createUploads()
    limitReading(wire, this.#rates, (reason) => this.onAbuse(reason))
    this.#claims = this.isSharingOrigin ? this.#offerClaims() : undefined
    offerMetadata({
      wire,
      info: deps.info,
      hasRoom: () =>
        this.#listener !== undefined && this.#writer.unsentBytes < METADATA_WINDOW_BYTES,
    })
    wire.once('close', () => this.#end())
  }

  get maxRequests(): number {
    const { reqq } = this.#wire.peerExtendedHandshake
    return typeof reqq === 'number' && reqq > 0 ? reqq : DEFAULT_REQQ
  }

  listen(listener: WireListener): void {
    const wire = this.#wire
    if (wire.destroyed || this.#isClosed) {
      wire.destroy()
      listener.onClose()
      return
    }
    this.#listener = listener
    // what the library has heard and said so far
    this.isPeerChoking = wire.peerChoking
    this.isPeerInterested = wire.peerInterested
    this.isChoking = wire.amChoking
    listener.onBitfield(bitsOf(this.#deps.pieceCount, (piece) => wire.peerPieces.get(piece)))
    // it is the engine's now, and may be the rest of a much longer read
    wire.peerPieces = { buffer: new Uint8Array(0), get: () => false }
    if (this.isPeerInterested) listener.onInterested()
    this.#channel.begin()
  }

  request(piece: number, offset: number, length: number, callback: BlockCallback): void {
    const canAsk = !this.#isClosed && !this.isPeerChoking
    if (!canAsk || !this.#requests.add(piece, offset, callback)) {
      callback(null)
      return
    }
    this.#writer.message(MESSAGE_IDS.request, piece, offset, length)
  }

  cancel(piece: number, offset: number, length: number): void {
    this.#requests.settle(piece, offset, null)
    if (!this.#isClosed) this.#writer.message(MESSAGE_IDS.cancel, piece, offset, length)
  }

  have(piece: number): void {
    if (!this.#isClosed) this.#writer.have(piece)
  }

  claim(kind: ClaimKind, hops: number, pieces: readonly number[]): void {
    this.#claims?.tell({ kind, hops, pieces })
  }

  choke(): void {
    if (this.isChoking || this.#isClosed) return
    this.isChoking = true
    this.#writer.message(MESSAGE_IDS.choke)
    this.#uploads.clear()
  }

  unchoke(): void {
    if (!this.isChoking || this.#isClosed) return
    this.isChoking = false
    this.#writer.message(MESSAGE_IDS.unchoke)
  }

  setInterested(isInterested: boolean): void {
    if (isInterested === this.#isInterested || this.#isClosed) return
    this.#isInterested = isInterested
    this.#writer.message(isInterested ? MESSAGE_IDS.interested : MESSAGE_IDS.notInterested)
  }

  close(reason: string, isBanned: boolean): void {
    if (this.#isClosed) return
    if (isBanned) this.#deps.onBanned()
    this.#wire.destroy()
    this.#end(reason)
  }

  onChoke(): void {
    if (this.isPeerChoking) return
    this.isPeerChoking = true
    // BEP 6: with the fast extension each request is rejected by itself
    if (!this.#wire.hasFast) this.#requests.refuseAll()
    this.#listener?.onChoke()
  }

  onUnchoke(): void {
    this.isPeerChoking = false
    this.#listener?.onUnchoke()
  }

  onInterested(): void {
    if (this.isPeerInterested) return
    this.isPeerInterested = true
    this.#listener?.onInterested()
  }

  onNotInterested(): void {
    this.isPeerInterested = false
  }

  onHave(piece: number): void {
    this.#listener?.onHave(piece)
  }

  onBitfield(bits: Uint8Array): void {
    // aria2 sends them again and again, in place of many HAVEs
    if (bits.length !== Math.ceil(this.#deps.pieceCount / 8)) {
      this.onAbuse(`its bitfield has ${bits.length} bytes`)
    } else {
      this.#listener?.onBitfield(bits)
    }
  }

  onHaveAll(): void {
    this.#summarise(true)
  }

  onHaveNone(): void {
    this.#summarise(false)
  }

  onRequest(piece: number, offset: number, length: number): void {
    const request = { piece, offset, length }
    if (this.isChoking) this.#refuse(request)
    else this.#uploads.push(request)
  }

  onCancel(piece: number, offset: number, length: number): void {
    this.#uploads.cancel({ piece, offset, length })
  }

  onBlock(piece: number, offset: number, block: Uint8Array): void {
    if (this.#requests.settle(piece, offset, block)) return
    this.#listener?.onUnasked(block.length)
    if (!this.#rates.admitsInVain()) this.onAbuse('it sends blocks that nobody has asked for')
  }

  onReject(piece: number, offset: number): void {
    this.#requests.settle(piece, offset, null)
  }

  onExtended(id: number, payload: Uint8Array): void {
    // a copy: the library keeps parts of it
    this.#wire._onExtended(id, payload.slice())
  }

  onAbuse(reason: string): void {
    this.close(reason, true)
  }

  #summarise(hasAll: boolean): void {
    this.#summaries += 1
    if (this.#summaries > MAX_SUMMARIES) this.onAbuse('it has everything and nothing in turns')
    else this.#listener?.onBitfield(bitsOf(this.#deps.pieceCount, () => hasAll))
  }

  #offerClaims(): ClaimExtension {
    return offerClaims({
      wire: this.#wire,
      send: (bytes) => {
        if (!this.#isClosed) this.#writer.hint(bytes)
      },
      onClaim: ({ kind, hops, pieces }) => this.#listener?.onClaim(kind, hops, pieces),
      onAbuse: (reason) => this.onAbuse(reason),
    })
  }

  #createUploads(): UploadQueue {
    const { uploadBudget, isServable, readBlock, onUploaded } = this.#deps
    return createUploadQueue({
      budget: uploadBudget,
      now: this.#deps.now,
      bufferedBytes: () => this.#writer.unsentBytes,
      isServable,
      send: (request, onDone) =>
        readBlock(request, (block) => {
          if (block === null || this.isChoking || this.#isClosed) {
            this.#reject(request)
          } else {
            this.#writer.block(request.piece, request.offset, block)
            onUploaded(block.length)
          }
          onDone()
        }),
      reject: (request) => this.#refuse(request),
      onAbuse: (reason) => this.onAbuse(reason),
    })
  }

  /** The peer asks for what it cannot have now. */
  #refuse(request: BlockRequest): void {
    if (this.#rates.admitsInVain()) this.#reject(request)
    else this.onAbuse('it asks again and again for what it does not get')
  }

  #reject({ piece, offset, length }: BlockRequest): void {
    if (this.#isClosed || !this.#wire.hasFast) return
    this.#writer.message(MESSAGE_IDS.reject, piece, offset, length)
  }

  /** @param reason why we closed it, if we did */
  #end(reason?: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#channel.close()
    this.#uploads.clear()
    this.#requests.refuseAll()
    this.#listener?.onClose(reason)
  }
}
