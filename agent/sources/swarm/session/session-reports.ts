// SPDX-License-Identifier: Apache-2.0
// Owns what the agent's thread is told of a session as time goes by: totals as a sign of life, and what people may
// want to see. Does not count what the engine counts.
import type { TrackerFigures } from '../../../core/events.ts'
import type { SwarmEngine } from '../engine/engine.ts'
import type { PieceOrigin } from '../engine/pieces/pieces-in-progress.ts'
import { shownAddress } from '../peers/address.ts'
import type { WorkerNews } from '../thread/protocol.ts'

const PULSE_MS = 500
const VIEW_MS = 1000
/** Peers that are shown. */
const MOST_PEERS = 16

export interface SessionReportsDeps {
  readonly engine: Pick<SwarmEngine, 'figures' | 'peerCount' | 'peerFigures'>
  tell(news: WorkerNews): void
}

export class SessionReports {
  readonly #deps: SessionReportsDeps
  readonly #badPieces = { origin: 0, peers: 0 }
  #uploadedBytes = 0
  #timers: readonly NodeJS.Timeout[] = []

  constructor(deps: SessionReportsDeps) {
    this.#deps = deps
  }

  get uploadedBytes(): number {
    return this.#uploadedBytes
  }

  noteUploaded(bytes: number): void {
    this.#uploadedBytes += bytes
  }

  noteBadPiece(from: PieceOrigin): void {
    this.#badPieces[from] += 1
  }

  /** @param trackers asked again and again: as they are by then */
  start(trackers: () => TrackerFigures[]): void {
    this.#timers = [
      setInterval(() => this.#pulse(), PULSE_MS),
      setInterval(() => this.#view(trackers()), VIEW_MS),
    ]
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  #pulse(): void {
    const { engine, tell } = this.#deps
    const { origin: originBytes, peers: peerBytes, duplicates: duplicateBytes } = engine.figures
    const peers = engine.peerCount
    const uploadedBytes = this.#uploadedBytes
    const figures = { peers, uploadedBytes, originBytes, peerBytes, duplicateBytes }
    tell({ kind: 'pulse', figures })
  }

  #view(trackers: readonly TrackerFigures[]): void {
    const peers = this.#deps.engine.peerFigures()
    this.#deps.tell({
      kind: 'view',
      asked: peers.filter(({ isAsked }) => isAsked).length,
      served: peers.filter(({ isServed }) => isServed).length,
      peerList: peers
        .slice(0, MOST_PEERS)
        .map((peer) => ({ ...peer, address: shownAddress(peer.address) })),
      trackers,
      badPieces: this.#badPieces,
    })
  }
}
