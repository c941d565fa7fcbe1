// SPDX-License-Identifier: Apache-2.0
// Owns what follows from the words of a peer: its pieces, its choking, its interest, its claims. Does not
// ask for blocks at once; it says who is to be asked anew.
import type { Claims } from './origin/claims.ts'
import type { Peer } from './peer.ts'
import type { WireListener } from './peer-wire.ts'
import type { PiecePicker } from './pieces/piece-picker.ts'
import type { Rack } from './requests/rack.ts'
import type { RequestScheduler } from './requests/request-scheduler.ts'

/** Nobody loses pieces but who was misread, or begins anew: each costs as much as one that is announced. */
const LOSSES_PER_PIECE = 2
const FEW_LOSSES = 10_000

export interface PeerListenerDeps {
  readonly picker: PiecePicker
  readonly rack: Rack
  readonly requests: RequestScheduler
  readonly claims: Claims
  /** Somebody wants to be uploaded to. */
  onInterested(): void
  /** The peer breaks the protocol. */
  onAbuse(peer: Peer, reason: string): void
  /** @param reason why we closed it, if we did */
  onClose(peer: Peer, reason: string | undefined): void
}

/** The ear of one wire. */
export function createPeerListener(peer: Peer, deps: PeerListenerDeps): WireListener {
  const { picker, rack, requests, claims } = deps
  const refresh = () => refreshPeer(peer, requests)
  return {
    onHave: (piece) => {
      if (piece < picker.pieceCount && picker.isOnlyAtOrigin(piece)) claims.noteAnnouncement(piece)
      rack.noteHave(peer, piece)
      picker.addPiece(peer, piece)
      refresh()
    },
    onBitfield: (bits) => {
      peer.lostPieces += picker.replacePieces(peer, bits)
      if (peer.lostPieces > LOSSES_PER_PIECE * picker.pieceCount + FEW_LOSSES) {
        deps.onAbuse(peer, 'it takes back again and again what it said it has')
        return
      }
      rack.rewind()
      refresh()
    },
    onChoke: () => {
      // it says that it will not send: no debt
      peer.isSnubbed = false
      peer.isRefusing = false
      refresh()
    },
    onUnchoke: () => {
      peer.isResting = false
      peer.isRefusing = false
      refresh()
    },
    onInterested: () => deps.onInterested(),
    onClaim: (kind, hops, pieces) => claims.hear(peer, kind, hops, pieces),
    onUnasked: (bytes) => {
      requests.duplicateBytes += bytes
    },
    onClose: (reason) => deps.onClose(peer, reason),
  }
}

/** What the peer has, or may be asked for, has changed: tell it, and ask. */
export function refreshPeer(peer: Peer, requests: RequestScheduler): void {
  peer.wire.setInterested(peer.wanted > 0)
  requests.fillLater(peer)
}
