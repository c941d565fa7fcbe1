import { expect, test } from 'vitest'
import { OriginShares } from '../../../../../../agent/sources/swarm/engine/origin/origin-shares.ts'

const PIECES = 512
const PIECE_LENGTH = 1024 * 1024
const ids = Array.from({ length: 8 }, (_, i) => `2d4953${String(i).padStart(34, '0')}`)

function sharesOf(self: string, others: readonly string[]): OriginShares {
  const shares = new OriginShares(self, PIECES, PIECE_LENGTH)
  for (const other of others) if (other !== self) shares.addPeer(other)
  return shares
}

/** Every piece the node owns, in its order. */
function ownPieces(shares: OriginShares): number[] {
  shares.rewind()
  const taken = new Set<number>()
  for (;;) {
    const piece = shares.nextOwn(
      (each) => !taken.has(each),
      () => true,
    )
    if (piece < 0) return [...taken]
    taken.add(piece)
  }
}

test('nodes that see each other divide the pieces without gap or overlap, about evenly', () => {
  const owned = ids.map((self) => ownPieces(sharesOf(self, ids)))
  const all = owned.flat()
  expect(all.length).toBe(PIECES)
  expect(new Set(all).size).toBe(PIECES)
  for (const pieces of owned) {
    expect(pieces.length).toBeGreaterThan(PIECES / 8 / 2)
    expect(pieces.length).toBeLessThan((PIECES / 8) * 2)
  }
})

test('a node alone owns everything, in an order of its own', () => {
  const orders = ids.slice(0, 2).map((self) => ownPieces(sharesOf(self, [])))
  for (const order of orders) expect(order.length).toBe(PIECES)
  expect(orders[0]).not.toEqual(orders[1])
})

test('what a node owned that left passes to the others, and nothing else moves', () => {
  const [gone, ...rest] = ids as [string, ...string[]]
  const lost = new Set(ownPieces(sharesOf(gone, ids)))
  let inherited = 0
  for (const self of rest) {
    const before = new Set(ownPieces(sharesOf(self, ids)))
    const shares = sharesOf(self, ids)
    shares.removePeer(gone)
    const after = ownPieces(shares)
    expect(after).toEqual(expect.arrayContaining([...before]))
    for (const piece of after) if (!before.has(piece)) expect(lost.has(piece)).toBe(true)
    inherited += after.length - before.size
  }
  expect(inherited).toBe(lost.size)
})

test('two connections to one peer count once', () => {
  const [self, other] = ids as [string, string]
  const shares = sharesOf(self, [other, other])
  const before = ownPieces(shares).length
  shares.removePeer(other)
  expect(ownPieces(shares).length).toBe(before)
  shares.removePeer(other)
  expect(ownPieces(shares).length).toBe(PIECES)
})

test('small pieces are owned in runs, so that the origin is read ahead', () => {
  const shares = new OriginShares(ids[0] as string, 65_536, 64 * 1024)
  const taken: number[] = []
  for (let i = 0; i < 16; i++) {
    taken.push(
      shares.nextOwn(
        (each) => !taken.includes(each),
        () => true,
      ),
    )
  }
  const [first] = taken as [number]
  expect(taken).toEqual(Array.from({ length: 16 }, (_, i) => first + i))
})

test('what is taken for a while is passed over, and found again without a rewind', () => {
  const shares = sharesOf(ids[0] as string, ids)
  const [first, second] = ownPieces(shares) as [number, number]
  shares.rewind()
  const next = (isFree: (piece: number) => boolean) => shares.nextOwn(() => true, isFree)
  expect(next((piece) => piece !== first)).toBe(second)
  expect(next(() => false)).toBe(-1)
  expect(next(() => true)).toBe(first)
})

test('free pieces are anybody’s, in an order of each node’s own', () => {
  const freeOf = (self: string) => {
    const shares = sharesOf(self, ids)
    const taken = new Set<number>()
    const isFree = (piece: number) => !taken.has(piece)
    for (let piece = shares.nextFree(() => true, isFree); piece >= 0; ) {
      taken.add(piece)
      piece = shares.nextFree(() => true, isFree)
    }
    return [...taken]
  }
  const [one, other] = ids.slice(0, 2).map(freeOf) as [number[], number[]]
  expect(new Set(one).size).toBe(PIECES)
  expect(new Set(other)).toEqual(new Set(one))
  expect(other.slice(0, 50)).not.toEqual(one.slice(0, 50))
})
