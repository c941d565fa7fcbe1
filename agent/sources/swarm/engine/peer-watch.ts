// SPDX-License-Identifier: Apache-2.0
// Owns when a peer that owes us blocks is taken for snubbed, and when for gone. Does not close its wire.
import type { Peer } from './peer.ts'
import type { PiecePicker } from './pieces/piece-picker.ts'
import type { PiecesInProgress } from './pieces/pieces-in-progress.ts'
import type { RequestScheduler } from './requests/request-scheduler.ts'

/** A peer that owes us blocks for this long gets one request at a time. */
const SNUBBED_MS = 4000
const SILENT_MS = 30_000

export interface PeerWatchDeps {
  readonly picker: PiecePicker
  readonly inProgress: PiecesInProgress
  readonly requests: RequestScheduler
  /** It could bring what a peer does not. */
  isOriginThere(): boolean
  onSilent(peer: Peer, reason: string): void
}

export class PeerWatch {
  readonly #deps: PeerWatchDeps

  constructor(deps: PeerWatchDeps) {
    this.#deps = deps
  }

  /** Call about four times a second. */
  look(peer: Peer, now: number): void {
    if (peer.pending.size === 0 && !peer.isResting) peer.isRefusing = false
    const isOwing = peer.pending.size > 0 || (peer.isDoubtful && peer.wanted > 0)
    const owedMs = isOwing ? now - peer.owesSince : 0
    if (owedMs > SILENT_MS) {
      this.#deps.onSilent(peer, `it sent nothing for ${SILENT_MS / 1000} s`)
    } else if (owedMs > SNUBBED_MS && !peer.isSnubbed) {
      this.#snub(peer)
    } else if (!peer.isSnubbed) {
      this.#deps.picker.setCounted(peer, true)
    }
  }

  /** Peers are not to blame for what waits in our own sockets. */
  forgive(now: number): void {
    for (const peer of this.#deps.picker.peers) peer.owesSince = now
  }

  #snub(peer: Peer): void {
    const { picker, inProgress, requests, isOriginThere } = this.#deps
    peer.isSnubbed = true
    requests.giveBack(peer)
    if (isOriginThere()) picker.setCounted(peer, false)
    inProgress.abandonUnavailable()
  }
}
