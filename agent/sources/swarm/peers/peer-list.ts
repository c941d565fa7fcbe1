// SPDX-License-Identifier: Apache-2.0
// Owns who is who: which address belongs to which peer, who is connected, who is banned, and which of
// two connections to one peer stays. Does not open connections.
import { randomBytes } from 'node:crypto'
import { plainAddress } from './address.ts'

/** `-IS0001-`, Azureus style (BEP 20), as hex. */
const PEER_ID_PREFIX = Buffer.from('-IS0001-').toString('hex')
/** Addresses tried or queued at a time: PEX from a hostile peer must not fill the memory. */
const MAX_KNOWN = 200
const MAX_LEARNED = 4096
/** An address that leads to nobody, or to somebody who is full, is tried again after this long, ever later. */
const MIN_PAUSE_MS = 1000
const MAX_PAUSE_MS = 32_000

/** A connection whose handshake is done, as far as it matters which of two stays. */
export interface Acquaintance {
  /** 20 bytes as lower-case hex. */
  readonly peerId: string
  /** We opened it. */
  readonly isOutgoing: boolean
}

export class PeerList {
  readonly #selfId: string
  readonly #ownAddresses: () => Set<string>
  readonly #peerIds = new Map<string, string>()
  readonly #connected = new Map<string, number>()
  readonly #banned = new Set<string>()
  /** Addresses that were tried and have not led to a handshake since. */
  readonly #tries = new Map<string, { readonly at: number; readonly pauseMs: number }>()
  readonly #now: () => number

  constructor(options: {
    selfId: string
    ownAddresses: () => Set<string>
    now: () => number
  }) {
    this.#selfId = options.selfId
    this.#ownAddresses = options.ownAddresses
    this.#now = options.now
  }

  /** The peer that listens at this address. */
  learn(address: string, peerId: string): void {
    this.#tries.delete(plainAddress(address))
    if (this.#peerIds.size >= MAX_LEARNED) this.#peerIds.clear()
    this.#peerIds.set(plainAddress(address), peerId)
  }

  /** We are about to connect to this address. */
  noteTry(address: string): void {
    const key = plainAddress(address)
    const earlier = this.#tries.get(key)
    const pauseMs = Math.min(MAX_PAUSE_MS, (earlier?.pauseMs ?? MIN_PAUSE_MS / 2) * 2)
    if (this.#tries.size >= MAX_LEARNED) this.#tries.clear()
    this.#tries.set(key, { at: this.#now(), pauseMs })
  }

  connect(peerId: string): void {
    this.#connected.set(peerId, (this.#connected.get(peerId) ?? 0) + 1)
  }

  disconnect(peerId: string): void {
    const left = (this.#connected.get(peerId) ?? 0) - 1
    if (left > 0) this.#connected.set(peerId, left)
    else this.#connected.delete(peerId)
  }

  ban(peerId: string): void {
    if (this.#banned.size < MAX_LEARNED) this.#banned.add(peerId)
  }

  /** False for our own address, for one just tried in vain, for peers that are connected already, and for banned ones. */
  mayConnect(address: string, knownCount: number): boolean {
    if (knownCount >= MAX_KNOWN || this.#ownAddresses().has(address)) return false
    const tried = this.#tries.get(plainAddress(address))
    if (tried && this.#now() - tried.at < tried.pauseMs) return false
    const peerId = this.#peerIds.get(plainAddress(address))
    if (peerId === undefined) return true
    return peerId !== this.#selfId && !this.#connected.has(peerId) && !this.#banned.has(peerId)
  }

  /**
   * Which connection has to go: one to ourselves, to a banned peer, or the superfluous one of two. Both
   * ends keep the one that the lower peer id opened; programs other than ours have rules of their own, so
   * theirs are left alone unless both lead the same way.
   */
  judge<A extends Acquaintance>(newcomer: A, rivals: readonly A[]): A | undefined {
    const { peerId, isOutgoing } = newcomer
    if (peerId === this.#selfId || this.#banned.has(peerId)) return newcomer
    for (const rival of rivals) {
      if (rival.isOutgoing === isOutgoing) return newcomer
      if (!isIronswarm(peerId)) continue
      const keepsOutgoing = this.#selfId < peerId
      return isOutgoing === keepsOutgoing ? rival : newcomer
    }
    return undefined
  }
}

/** Programs of ours share the origin and agree on which connection stays. */
export function isIronswarm(peerId: string): boolean {
  return peerId.startsWith(PEER_ID_PREFIX)
}

/** A fresh id for one worker. */
export function createPeerId(): string {
  return PEER_ID_PREFIX + randomBytes(12).toString('hex')
}
