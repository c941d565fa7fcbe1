// SPDX-License-Identifier: Apache-2.0
// Owns finding out who lied when a piece has a wrong hash: one sender is guilty at once; of several, the
// blocks of the bad attempt are compared with the good ones later. Does not close wires.
import { createHash } from 'node:crypto'
import type { PartialPiece } from './partial-piece.ts'

/** Bad pieces with several senders kept as evidence; beyond it the oldest is forgotten. */
const MAX_CASES = 32

interface Evidence<P> {
  readonly sender: P
  readonly digest: string
}

export interface SmartBan<P> {
  /** True while a bad attempt of this piece is unexplained: fetch it from one peer alone. */
  isContested(piece: number): boolean
  /** The piece has a wrong hash; returns the liar if it is certain. */
  convict(partial: PartialPiece<P>): P | undefined
  /** The piece is right; returns those whose blocks differed before. */
  acquit(partial: PartialPiece<P>): Set<P>
}

export function createSmartBan<P>(): SmartBan<P> {
  const cases = new Map<number, Map<number, Evidence<P>>>()

  function convict(partial: PartialPiece<P>): P | undefined {
    const { senders } = partial
    const [onlySender] = senders
    if (senders.size === 1) return onlySender
    if (senders.size === 0) return undefined
    const evidence = new Map<number, Evidence<P>>()
    for (let block = 0; block < partial.blockCount; block++) {
      const sender = partial.senderOf(block)
      if (sender !== undefined) {
        evidence.set(block, { sender, digest: digestOf(partial.blockBytes(block)) })
      }
    }
    const [oldest] = cases.keys()
    if (cases.size >= MAX_CASES && oldest !== undefined) cases.delete(oldest)
    cases.set(partial.piece, evidence)
    return undefined
  }

  function acquit(partial: PartialPiece<P>): Set<P> {
    const liars = new Set<P>()
    for (const [block, { sender, digest }] of cases.get(partial.piece) ?? []) {
      if (digest !== digestOf(partial.blockBytes(block))) liars.add(sender)
    }
    cases.delete(partial.piece)
    return liars
  }

  return { isContested: (piece) => cases.has(piece), convict, acquit }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('base64')
}
