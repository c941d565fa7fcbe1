// SPDX-License-Identifier: Apache-2.0
// Owns where the clusters of a qcow2 lie in its file, in the order of the file, whether they are compressed or not, and
// what of its disk is zero: in columns, 24 bytes for each and 16 for each of the zeros. Does not read tables.
import type { ByteRange } from '../../../../core/extent.ts'
import type { Piece } from '../clusters.ts'

/** Clusters, and ranges of zeros, at most: 40 MiB of columns. A disk of 64 GiB in clusters of 64 KiB has as many. */
export const MOST_PIECES = 2 ** 20
/** Of a piece that is not compressed: what is longer is remembered in parts, what follows each other as one. */
const MOST_PLAIN_BYTES = 2 * 1024 * 1024

/** A cluster, or a part of one, that is had from the file. */
export type FilePiece = Exclude<Piece, { kind: 'zero' }>

/** The pieces cover each byte of the guest's disk that the zeros do not, once. */
export interface ArrivingMap {
  readonly pieceCount: number
  /** By its place in the file, ascending. Two of them may share bytes of the file. */
  piece(index: number): FilePiece
  /** Ascending, apart. */
  zeros(): Generator<ByteRange>
}

export interface ArrivingMapMaker {
  /** In the order of the guest's disk. */
  add(piece: Piece): void
  /** There are more than are remembered: the rest need not be added. */
  readonly isFull: boolean
  /** Undefined where there are more than are remembered. Nothing is added afterwards. */
  finish(): ArrivingMap | undefined
}

export function createArrivingMapMaker(mostPieces = MOST_PIECES): ArrivingMapMaker {
  const hosts = new Column(Float64Array)
  const guests = new Column(Float64Array)
  const lengths = new Column(Uint32Array)
  /** Of the file, for a compressed cluster; 0 for others. */
  const hostBytes = new Column(Uint32Array)
  const zeroGuests = new Column(Float64Array)
  const zeroLengths = new Column(Float64Array)
  let isTooMany = false

  const addPiece = (piece: FilePiece) => {
    hosts.push(piece.host)
    guests.push(piece.guest)
    lengths.push(piece.length)
    hostBytes.push(piece.kind === 'compressed' ? piece.hostBytes : 0)
  }
  /** Whether the piece was added to the one before. */
  const extendPlain = ({ guest, host, length }: Piece & { kind: 'plain' }): boolean => {
    const last = hosts.count - 1
    if (last < 0 || hostBytes.at(last) > 0) return false
    const before = lengths.at(last)
    const follows = guests.at(last) + before === guest && hosts.at(last) + before === host
    if (!follows || before + length > MOST_PLAIN_BYTES) return false
    lengths.set(last, before + length)
    return true
  }
  const addZero = ({ guest, length }: Piece) => {
    const last = zeroGuests.count - 1
    if (last >= 0 && zeroGuests.at(last) + zeroLengths.at(last) === guest) {
      zeroLengths.set(last, zeroLengths.at(last) + length)
      return
    }
    zeroGuests.push(guest)
    zeroLengths.push(length)
  }
  return {
    add: (piece) => {
      isTooMany ||= Math.max(hosts.count, zeroGuests.count) >= mostPieces
      if (isTooMany) return
      if (piece.kind === 'zero') return addZero(piece)
      if (piece.kind === 'compressed') return addPiece(piece)
      if (extendPlain(piece)) return
      for (let at = 0; at < piece.length; at += MOST_PLAIN_BYTES) {
        const length = Math.min(MOST_PLAIN_BYTES, piece.length - at)
        addPiece({ ...piece, guest: piece.guest + at, host: piece.host + at, length })
      }
    },
    get isFull() {
      return isTooMany
    },
    finish: () => {
      if (isTooMany) return undefined
      const order = orderOf(hosts)
      const columns = [hosts, guests, lengths, hostBytes] as const
      if (order) for (const column of columns) column.reorder(order)
      return {
        pieceCount: hosts.count,
        piece: (index) => {
          const place = {
            guest: guests.at(index),
            length: lengths.at(index),
            host: hosts.at(index),
          }
          const packedBytes = hostBytes.at(index)
          if (packedBytes === 0) return { kind: 'plain', ...place }
          return { kind: 'compressed', ...place, hostBytes: packedBytes }
        },
        zeros: function* () {
          for (let index = 0; index < zeroGuests.count; index++) {
            yield { offset: zeroGuests.at(index), length: zeroLengths.at(index) }
          }
        },
      }
    },
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
