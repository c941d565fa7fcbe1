// SPDX-License-Identifier: Apache-2.0
// Owns the pieces of an arriving map in columns: 24 bytes for each, and 16 for each range of zeros, where objects would
// take a hundred. Does not limit how many there are.
import type { ByteRange } from '../../../../core/extent.ts'
import type { Piece } from '../clusters.ts'

/** A cluster, or a part of one, that is had from the file. */
export type FilePiece = Exclude<Piece, { kind: 'zero' }>

/** Of a piece that is not compressed: what is longer is remembered in parts, what follows each other as one. */
const MOST_PLAIN_BYTES = 2 * 1024 * 1024

export class PieceColumns {
  readonly #hosts = new Column(Float64Array)
  readonly #guests = new Column(Float64Array)
  readonly #lengths = new Column(Uint32Array)
  /** Of the file, for a compressed cluster; 0 for others. */
  readonly #hostBytes = new Column(Uint32Array)

  get count(): number {
    return this.#hosts.count
  }

  at(index: number): FilePiece {
    const place = {
      guest: this.#guests.at(index),
      length: this.#lengths.at(index),
      host: this.#hosts.at(index),
    }
    const hostBytes = this.#hostBytes.at(index)
    return hostBytes === 0
      ? { kind: 'plain', ...place }
      : { kind: 'compressed', ...place, hostBytes }
  }

  add(piece: FilePiece): void {
    if (piece.kind === 'compressed') {
      this.#push(piece, piece.hostBytes)
      return
    }
    if (this.#extendLast(piece)) return
    for (let at = 0; at < piece.length; at += MOST_PLAIN_BYTES) {
      const length = Math.min(MOST_PLAIN_BYTES, piece.length - at)
      this.#push({ guest: piece.guest + at, host: piece.host + at, length }, 0)
    }
  }

  /** By their places in the file. */
  sort(): void {
    const order = orderOf(this.#hosts)
    if (order === undefined) return
    for (const column of [this.#hosts, this.#guests, this.#lengths, this.#hostBytes]) {
      column.reorder(order)
    }
  }

  #push(piece: Pick<FilePiece, 'host' | 'guest' | 'length'>, hostBytes: number): void {
    this.#hosts.push(piece.host)
    this.#guests.push(piece.guest)
    this.#lengths.push(piece.length)
    this.#hostBytes.push(hostBytes)
  }

  /** Whether the piece follows the last one, and is a part of it now. */
  #extendLast({ guest, host, length }: FilePiece): boolean {
    const last = this.count - 1
    if (last < 0 || this.#hostBytes.at(last) > 0) return false
    const before = this.#lengths.at(last)
    const follows =
      this.#guests.at(last) + before === guest && this.#hosts.at(last) + before === host
    if (!follows || before + length > MOST_PLAIN_BYTES) return false
    this.#lengths.set(last, before + length)
    return true
  }
}

/** Ranges of the guest's disk; one that follows another is a part of it. */
export class ZeroColumns {
  readonly #guests = new Column(Float64Array)
  readonly #lengths = new Column(Float64Array)

  get count(): number {
    return this.#guests.count
  }

  add({ guest, length }: Pick<Piece, 'guest' | 'length'>): void {
    const last = this.count - 1
    if (last >= 0 && this.#guests.at(last) + this.#lengths.at(last) === guest) {
      this.#lengths.set(last, this.#lengths.at(last) + length)
      return
    }
    this.#guests.push(guest)
    this.#lengths.push(length)
  }

  *ranges(): Generator<ByteRange> {
    for (let index = 0; index < this.count; index++) {
      yield { offset: this.#guests.at(index), length: this.#lengths.at(index) }
    }
  }
}

type Numbers = Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

/** Numbers that grow by the end. */
class Column {
  count = 0
  readonly #Type: new (
    length: number,
  ) => Numbers
  #values: Numbers

  constructor(Type: new (length: number) => Numbers) {
    this.#Type = Type
    this.#values = new Type(1024)
  }

  at(index: number): number {
    return this.#values[index] as number
  }

  set(index: number, value: number): void {
    this.#values[index] = value
  }

  push(value: number): void {
    if (this.count === this.#values.length) this.#replace(2 * this.count, (index) => index)
    this.#values[this.count++] = value
  }

  reorder(order: Uint32Array): void {
    this.#replace(this.count, (index) => order[index] as number)
  }

  #replace(length: number, from: (index: number) => number): void {
    const before = this.#values
    this.#values = new this.#Type(length)
    for (let index = 0; index < this.count; index++) {
      this.#values[index] = before[from(index)] as number
    }
  }
}

/** Undefined where they are in order, as most programs write them. Those with the same number stay as they are. */
function orderOf(keys: Column): Uint32Array | undefined {
  let isAscending = true
  for (let index = 1; index < keys.count && isAscending; index++) {
    isAscending = keys.at(index) >= keys.at(index - 1)
  }
  if (isAscending) return undefined
  const order = new Uint32Array(keys.count).map((_, index) => index)
  return order.sort((a, b) => keys.at(a) - keys.at(b))
}
