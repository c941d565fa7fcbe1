// SPDX-License-Identifier: Apache-2.0
// Owns the way from the bytes of a connection to the messages in them. Messages that lie in one read are
// not copied; of a hostile peer no more is kept than it has sent. Does not act on messages.
import { KEEP_ALIVE, type MessageRates } from './message-rates.ts'
import { LENGTH_BYTES, MAX_MESSAGE_BYTES, MESSAGE_IDS, readUint32 } from './messages.ts'

/** What a peer said. Bytes are valid during the call only. */
export interface MessageHandler {
  onChoke(): void
  onUnchoke(): void
  onInterested(): void
  onNotInterested(): void
  onHave(piece: number): void
  onBitfield(bits: Uint8Array): void
  onHaveAll(): void
  onHaveNone(): void
  onRequest(piece: number, offset: number, length: number): void
  onCancel(piece: number, offset: number, length: number): void
  onBlock(piece: number, offset: number, block: Uint8Array): void
  onReject(piece: number, offset: number, length: number): void
  /** BEP 10; 0 is the handshake. */
  onExtended(id: number, payload: Uint8Array): void
  /** The peer breaks the protocol; nothing more is read. */
  onAbuse(reason: string): void
}

const NOTHING = new Uint8Array(0)
/** The beginning of a block is kept in memory that is used again; longer messages get their own. */
const KEPT_BYTES = 32 * 1024

export class MessageParser {
  readonly #handler: MessageHandler
  readonly #rates: MessageRates
  /** The beginning of a message of which the rest has not come yet. */
  #held = NOTHING
  #heldBytes = 0
  #isStopped = false

  /** @param rates beyond them the peer breaks the protocol */
  constructor(handler: MessageHandler, rates: MessageRates) {
    this.#handler = handler
    this.#rates = rates
  }

  /** Nothing is handled any more, also not the rest of the bytes at hand. */
  stop(): void {
    this.#isStopped = true
    this.#held = NOTHING
    this.#heldBytes = 0
  }

  /** Handles the messages that are complete with these bytes, in which nothing is kept. */
  push(bytes: Uint8Array): void {
    let at = this.#heldBytes > 0 ? this.#completeHeld(bytes) : 0
    while (!this.#isStopped && bytes.length - at >= LENGTH_BYTES) {
      const length = readUint32(bytes, at)
      if (!this.#isAllowed(length)) return
      const end = at + LENGTH_BYTES + length
      if (end > bytes.length) break
      this.#handle(bytes, at + LENGTH_BYTES, end)
      at = end
    }
    if (!this.#isStopped && at < bytes.length) this.#hold(bytes, at, bytes.length)
  }

  /** @returns how many of the bytes belonged to the held message */
  #completeHeld(bytes: Uint8Array): number {
    let at = 0
    if (this.#heldBytes < LENGTH_BYTES) {
      at = Math.min(LENGTH_BYTES - this.#heldBytes, bytes.length)
      this.#hold(bytes, 0, at)
      if (this.#heldBytes < LENGTH_BYTES) return at
    }
    const length = readUint32(this.#held, 0)
    if (!this.#isAllowed(length)) return at
    const missing = LENGTH_BYTES + length - this.#heldBytes
    const end = Math.min(at + missing, bytes.length)
    this.#hold(bytes, at, end)
    if (end - at === missing) this.#handleHeld(LENGTH_BYTES + length)
    return end
  }

  #handleHeld(end: number): void {
    const held = this.#held
    this.#heldBytes = 0
    if (held.length > KEPT_BYTES) this.#held = NOTHING
    this.#handle(held, LENGTH_BYTES, end)
  }

  #hold(bytes: Uint8Array, from: number, to: number): void {
    const needed = this.#heldBytes + to - from
    if (needed > this.#held.length) {
      const grown = new Uint8Array(Math.max(KEPT_BYTES, 2 ** Math.ceil(Math.log2(needed))))
      grown.set(this.#held.subarray(0, this.#heldBytes))
      this.#held = grown
    }
    this.#held.set(bytes.subarray(from, to), this.#heldBytes)
    this.#heldBytes = needed
  }

  #isAllowed(length: number): boolean {
    if (length <= MAX_MESSAGE_BYTES) return true
    this.#refuse(`it announced a message of ${length} bytes`)
    return false
  }

  #refuse(reason: string): void {
    this.stop()
    this.#handler.onAbuse(reason)
  }

  /** The message between the two places: its id and what follows; nothing is a keep-alive. */
  #handle(bytes: Uint8Array, at: number, end: number): void {
    const id = end === at ? KEEP_ALIVE : (bytes[at] as number)
    if (!this.#rates.admits(id)) this.#refuse(`it sends too many messages ${id}`)
    if (end === at || this.#isStopped) return
    const handler = this.#handler
    const first = at + 1
    // by frequency
    if (id === MESSAGE_IDS.piece && end - first >= 8) {
      const block = bytes.subarray(first + 8, end)
      handler.onBlock(readUint32(bytes, first), readUint32(bytes, first + 4), block)
    } else if (NUMBERS[id] !== undefined) {
      this.#handleNumbers(id, bytes, first, end)
    } else if (id === MESSAGE_IDS.bitfield) {
      handler.onBitfield(bytes.subarray(first, end))
    } else if (id === MESSAGE_IDS.extended && end > first) {
      handler.onExtended(bytes[first] as number, bytes.subarray(first + 1, end))
    } else if (id === MESSAGE_IDS.piece || id === MESSAGE_IDS.extended) {
      this.#refuse(`its message ${id} has ${end - at} bytes`)
    }
    // others are of extensions we did not offer: ignored, as BEP 3 clients do
  }

  /** Messages of a fixed length. */
  #handleNumbers(id: number, bytes: Uint8Array, at: number, end: number): void {
    if (end - at !== 4 * (NUMBERS[id] as number)) {
      this.#refuse(`its message ${id} has ${end - at + 1} bytes`)
      return
    }
    const handler = this.#handler
    const number = (index: number) => readUint32(bytes, at + 4 * index)
    switch (id) {
      case MESSAGE_IDS.request:
        handler.onRequest(number(0), number(1), number(2))
        break
      case MESSAGE_IDS.have:
        handler.onHave(number(0))
        break
      case MESSAGE_IDS.cancel:
        handler.onCancel(number(0), number(1), number(2))
        break
      case MESSAGE_IDS.reject:
        handler.onReject(number(0), number(1), number(2))
        break
      default:
        this.#handleSignal(id)
    }
  }

  #handleSignal(id: number): void {
    const handler = this.#handler
    if (id === MESSAGE_IDS.choke) handler.onChoke()
    else if (id === MESSAGE_IDS.unchoke) handler.onUnchoke()
    else if (id === MESSAGE_IDS.interested) handler.onInterested()
    else if (id === MESSAGE_IDS.notInterested) handler.onNotInterested()
    else if (id === MESSAGE_IDS.haveAll) handler.onHaveAll()
    else if (id === MESSAGE_IDS.haveNone) handler.onHaveNone()
  }
}

/** By id: how many numbers of four bytes follow. */
const NUMBERS: readonly (number | undefined)[] = [
  0,
  0,
  0,
  0,
  1,
  undefined,
  3,
  undefined,
  3,
  ...new Array<undefined>(5).fill(undefined),
  0,
  0,
  3,
]
