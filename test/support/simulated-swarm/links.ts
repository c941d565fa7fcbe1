// SPDX-License-Identifier: Apache-2.0
// Owns a simulated network: full-duplex cables with a rate, connections that share them fairly, windows
// that keep a slow receiver from blocking a sender. No loss, no BitTorrent.
import type { VirtualTime } from './virtual-time.ts'

/** Two parcels, or a cable would be idle between them, be they coarse. */
const MIN_UNDER_WAY = 32 * 1024

/** Something that goes over a connection in one go: a block of 16 KiB. */
export interface Parcel {
  readonly bytes: number
  arrive(): void
}

/** One direction of a cable; what comes first leaves first. */
export class Pipe {
  /** Bytes per ms. */
  readonly rate: number
  carriedBytes = 0
  #freeAt = 0

  constructor(bytesPerSecond: number) {
    this.rate = bytesPerSecond / 1000
  }

  /** When the last byte is through, if the first may start at `from`. */
  carry(bytes: number, from: number): number {
    this.#freeAt = Math.max(this.#freeAt, from) + bytes / this.rate
    this.carriedBytes += bytes
    return this.#freeAt
  }
}

/** The sending side of a cable: connections take turns, a parcel each. */
export class Sender {
  readonly pipe: Pipe
  readonly time: VirtualTime
  readonly #ring: Connection[] = []
  #isBusy = false
  #freeAt = 0

  constructor(time: VirtualTime, bytesPerSecond: number) {
    this.time = time
    this.pipe = new Pipe(bytesPerSecond)
  }

  /** How many connections want the cable: each gets that part of it. */
  get load(): number {
    return this.#ring.length
  }

  join(connection: Connection): void {
    this.#ring.push(connection)
    if (!this.#isBusy) this.#next(Math.max(this.#freeAt, this.time.now))
  }

  #next(from: number): void {
    let connection = this.#ring.shift()
    // what it wanted to send has been withdrawn
    while (connection !== undefined && !connection.isReady) {
      connection.isWaiting = false
      connection = this.#ring.shift()
    }
    this.#isBusy = connection !== undefined
    if (connection === undefined) return
    const parcel = connection.take()
    const end = this.pipe.carry(parcel.bytes, from)
    this.#freeAt = end
    if (connection.isReady) this.#ring.push(connection)
    else connection.isWaiting = false
    this.time.at(end, () => {
      connection.pass(parcel, end)
      this.#next(end)
    })
  }
}

/** One direction of a TCP connection: from a sender through `path` to the receiver. */
export class Connection {
  readonly queue: Parcel[] = []
  /** In the sender's ring. */
  isWaiting = false
  readonly #sender: Sender
  readonly #path: readonly Pipe[]
  readonly #latencyMs: number
  readonly #windowBytes: number
  #underWay = 0

  /** @param windowBytes what a socket holds at most: enough for a full cable */
  constructor(sender: Sender, path: readonly Pipe[], latencyMs: number, windowBytes: number) {
    this.#sender = sender
    this.#path = path
    this.#latencyMs = latencyMs
    this.#windowBytes = windowBytes
  }

  get isReady(): boolean {
    return this.queue.length > 0 && this.#underWay < Math.max(this.#windowBytes, MIN_UNDER_WAY)
  }

  send(parcel: Parcel): void {
    this.queue.push(parcel)
    this.#wake()
  }

  /** A small message: it waits for what the socket holds already, then is there. */
  tell(work: () => void): void {
    const rate = this.#sender.pipe.rate / Math.max(1, this.#sender.load)
    const held = Math.min(this.#underWay, this.#windowBytes)
    this.#sender.time.after(this.#latencyMs + held / rate, work)
  }

  take(): Parcel {
    const parcel = this.queue.shift() as Parcel
    this.#underWay += parcel.bytes
    return parcel
  }

  /** The parcel has left the sender at `from`. */
  pass(parcel: Parcel, from: number): void {
    this.#hop(parcel, from, 0)
  }

  #hop(parcel: Parcel, from: number, hop: number): void {
    const { time } = this.#sender
    const pipe = this.#path[hop]
    if (pipe === undefined) {
      time.at(from + this.#latencyMs, () => {
        this.#underWay -= parcel.bytes
        this.#wake()
        parcel.arrive()
      })
      return
    }
    const end = pipe.carry(parcel.bytes, from)
    // the order at the next pipe is that of arrival there
    if (hop + 1 < this.#path.length) time.at(end, () => this.#hop(parcel, end, hop + 1))
    else this.#hop(parcel, end, hop + 1)
  }

  #wake(): void {
    if (this.isWaiting || !this.isReady) return
    this.isWaiting = true
    this.#sender.join(this)
  }
}
