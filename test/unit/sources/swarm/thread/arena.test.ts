import { expect, test } from 'vitest'
import type { Slot } from '../../../../../agent/sources/swarm/engine/pieces/slot.ts'
import { createPieceReader } from '../../../../../agent/sources/swarm/session/piece-reader.ts'
import { arenaShape, createArena } from '../../../../../agent/sources/swarm/thread/arena.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'

const MiB = 1024 * 1024
const shape = { slotBytes: 4, slotCount: 3, maxInProgress: 2 }
const arenaOf = () => createArena(new SharedArrayBuffer(12), shape)

test('memory stays within bounds for every piece length', () => {
  for (let pieceLength = BLOCK_BYTES; pieceLength <= 16 * MiB; pieceLength += BLOCK_BYTES) {
    const { slotBytes, slotCount, maxInProgress } = arenaShape(pieceLength, 100_000, 24 * MiB)
    expect(slotBytes * slotCount).toBeLessThanOrEqual(48 * MiB)
    // one for the origin and one for peers at least, and one to upload from
    expect(maxInProgress).toBeGreaterThanOrEqual(2)
    expect(slotCount).toBeGreaterThan(maxInProgress)
  }
})

test('a retained piece is found until its memory is wanted, the least used first', () => {
  const arena = arenaOf()
  const slots = [0, 1, 2].map(() => arena.acquire() as Slot)
  expect(arena.acquire()).toBeUndefined()
  for (const [piece, slot] of slots.entries()) arena.retain(piece, slot)
  expect(arena.find(0)).toBe(slots[0])
  expect(arena.acquire()).toBe(slots[1])
  expect(arena.find(1)).toBeUndefined()
  expect(arena.find(0)).toBe(slots[0])
  expect(arena.find(2)).toBe(slots[2])
})

test('a piece retained twice gives one slot back', () => {
  const arena = arenaOf()
  const [a, b] = [arena.acquire() as Slot, arena.acquire() as Slot]
  arena.retain(7, a)
  arena.retain(7, b)
  expect(arena.find(7)).toBe(b)
  const rest = [arena.acquire(), arena.acquire(), arena.acquire(), arena.acquire()]
  expect(rest.filter(Boolean).length).toBe(3)
})

const readerOf = (isRight = true) => {
  const arena = arenaOf()
  const orders: { piece: number; slot: Slot }[] = []
  const reader = createPieceReader({
    arena,
    maxReads: 1,
    lengthOf: () => 4,
    verify: (_piece, _bytes, done) => done(isRight),
    order: (piece, slot) => orders.push({ piece, slot }),
  })
  return { arena, orders, reader }
}

test('one read serves all who ask for the piece, and the next ones from memory', async () => {
  const { orders, reader } = readerOf()
  const results = [0, 1, 2].map((at) => reader.read(9, (bytes) => bytes[at]))
  expect(orders.length).toBe(1)
  orders[0]?.slot.bytes.set([5, 6, 7, 8])
  reader.onRead(9, null)
  expect(await Promise.all(results)).toEqual([5, 6, 7])
  expect(await reader.read(9, (bytes) => bytes[3])).toBe(8)
  expect(orders.length).toBe(1)
})

test('reads wait for each other, and for memory', async () => {
  const { arena, orders, reader } = readerOf()
  const held = [0, 1, 2].map(() => arena.acquire() as Slot)
  const results = [1, 2].map((piece) => reader.read(piece, () => piece))
  expect(orders.length).toBe(0)
  arena.release(held[0] as Slot)
  while (orders.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  reader.onRead(1, null)
  while (orders.length === 1) await new Promise((resolve) => setTimeout(resolve, 5))
  reader.onRead(2, null)
  expect(await Promise.all(results)).toEqual([1, 2])
})

test('a piece that cannot be read or has a wrong hash is nobody’s', async () => {
  const failing = readerOf()
  const first = failing.reader.read(3, () => 0)
  failing.reader.onRead(3, 'EIO')
  await expect(first).rejects.toThrow(/piece 3: EIO/)
  const wrong = readerOf(false)
  const second = wrong.reader.read(3, () => 0)
  wrong.reader.onRead(3, null)
  await expect(second).rejects.toThrow(/piece 3: its SHA-1 is wrong/)
  expect(wrong.arena.find(3)).toBeUndefined()
})
