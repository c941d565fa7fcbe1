// SPDX-License-Identifier: Apache-2.0
// Owns which block is asked of a second peer: in the end-game, or before it when the first is very late.
// Does not send requests.
import type { Peer, PendingBlock } from '../peer.ts'
import type { PartialPiece } from '../pieces/partial-piece.ts'
import type { PiecePicker } from '../pieces/piece-picker.ts'
import type { PiecesInProgress } from '../pieces/pieces-in-progress.ts'

/** Without free pieces or memory a block is asked for twice after this long, or some usual answers. */
const DUPLICATE_AFTER_MS = 1500
const DUPLICATE_AFTER_ANSWERS = 3
/** The end-game begins when everything is asked for and no more is missing than comes in this time. */
const ENDGAME_MS = 1000
/** In the end-game a peer with fewer requests than this may duplicate another's that is as old as this. */
const ENDGAME_IDLE_REQUESTS = 2
const ENDGAME_AFTER_MS = 200
/** Share of the newest in the average of how long a block takes to come. */
const SMOOTHING = 1 / 32

export interface EndgameDeps {
  readonly picker: PiecePicker
  readonly inProgress: PiecesInProgress
  readonly now: () => number
  mayAsk(peer: Peer, partial: PartialPiece<Peer>): boolean
  isPending(peer: Peer, partial: PartialPiece<Peer>, block: number): boolean
}

export class Endgame {
  readonly #deps: EndgameDeps
  #isOn = false
  /** From request to block, on average, ms: a second and more where many share slow cables. */
  #answerMs = 0
  /** No request that is out by itself is older. */
  #oldestRequestAt = Number.NEGATIVE_INFINITY

  constructor(deps: EndgameDeps) {
    this.#deps = deps
  }

  /** Call before peers are asked. */
  review(): void {
    this.#isOn = this.#isNearEnd()
  }

  /** A block came. @param tookMs since it was asked for last */
  noteAnswer(tookMs: number): void {
    this.#answerMs += (tookMs - this.#answerMs) * SMOOTHING
  }

  /** A block that is out at another peer; undefined if there is none to be asked for twice. */
  choose(peer: Peer): PendingBlock | undefined {
    const { inProgress, mayAsk, isPending } = this.#deps
    if (peer.isSnubbed || (this.#isOn && peer.pending.size >= ENDGAME_IDLE_REQUESTS))
      return undefined
    const now = this.#deps.now()
    const patienceMs = this.#patienceMs
    if (now - this.#oldestRequestAt < patienceMs) return undefined
    const latest = now - patienceMs
    for (const partial of inProgress.partials.values()) {
      if (!mayAsk(peer, partial)) continue
      const block = partial.findDuplicate(latest, (each) => isPending(peer, partial, each))
      if (block >= 0) return { partial, block }
    }
    this.#noteOldestRequest()
    return undefined
  }

  get #patienceMs(): number {
    if (this.#isOn) return Math.max(ENDGAME_AFTER_MS, this.#answerMs)
    return Math.max(DUPLICATE_AFTER_MS, DUPLICATE_AFTER_ANSWERS * this.#answerMs)
  }

  /** Before, what comes twice takes the place of something new: everybody's cables are full. */
  #isNearEnd(): boolean {
    const { picker, inProgress } = this.#deps
    if (picker.rarity.size > 0) return false
    let missingBytes = 0
    for (const partial of inProgress.partials.values()) missingBytes += partial.missingBytes
    let rate = 0
    for (const peer of picker.peers) rate += peer.rate
    return rate === 0 || (missingBytes * 1000) / rate < ENDGAME_MS
  }

  /** Most looks for an old request are in vain: when is the next worth it? */
  #noteOldestRequest(): void {
    let oldest = this.#deps.now()
    for (const partial of this.#deps.inProgress.partials.values()) {
      oldest = Math.min(oldest, partial.oldestRequestAt)
    }
    this.#oldestRequestAt = oldest
  }
}
