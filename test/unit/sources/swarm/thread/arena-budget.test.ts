import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type ArenaShare,
  createArenaBudget,
} from '../../../../../agent/sources/swarm/thread/arena-budget.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'

const MiB = 1024 * 1024

function takenBy(shares: readonly ArenaShare[]): number {
  return shares.reduce((sum, { shape }) => sum + shape.slotBytes * shape.slotCount, 0)
}

test('whatever comes and goes, all shares together stay within the budget and can work', () => {
  const torrent = fc.record({
    pieceLength: fc.integer({ min: 1, max: 1024 }).map((blocks) => blocks * BLOCK_BYTES),
    pieceCount: fc.integer({ min: 1, max: 65_536 }),
    leaves: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(torrent, { maxLength: 20 }), (torrents) => {
      const budget = createArenaBudget(48 * MiB)
      const shares: ArenaShare[] = []
      for (const { pieceLength, pieceCount, leaves } of torrents) {
        if (leaves) shares.shift()?.[Symbol.dispose]()
        const hasRoom = 3 * pieceLength <= 48 * MiB - takenBy(shares)
        try {
          shares.push(budget.share(pieceLength, pieceCount))
          expect(hasRoom).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ type: 'SwarmError' })
          expect(hasRoom).toBe(false)
        }
        expect(takenBy(shares)).toBeLessThanOrEqual(48 * MiB)
        for (const { shape } of shares) expect(shape.maxInProgress).toBeGreaterThanOrEqual(2)
      }
      for (const share of shares) {
        share[Symbol.dispose]()
        share[Symbol.dispose]()
      }
      // all of it is there again, and no more
      const whole = budget.share(16 * MiB, 3)
      expect(takenBy([whole])).toBe(48 * MiB)
      expect(() => budget.share(16 * 1024, 1)).toThrow(/0 B of 48/)
    }),
  )
})

test('a torrent alone takes half, unless its pieces are large', () => {
  const bytesOf = (pieceLength: number) => {
    const { shape } = createArenaBudget(48 * MiB).share(pieceLength, 100_000)
    return shape.slotBytes * shape.slotCount
  }
  expect(bytesOf(MiB)).toBe(24 * MiB)
  expect(bytesOf(4 * MiB)).toBe(24 * MiB)
  expect(bytesOf(16 * MiB)).toBe(48 * MiB)
})

test('memory that was kept serves the next torrent of that size, once', () => {
  const budget = createArenaBudget(48 * MiB)
  const memory = (() => {
    using first = budget.share(MiB, 100)
    const allocated = first.allocate()
    first.keep(allocated)
    return allocated
  })()
  using second = budget.share(MiB, 100)
  expect(second.allocate()).toBe(memory)
  expect(second.allocate()).not.toBe(memory)
})

test('memory of another size is let go', () => {
  const budget = createArenaBudget(48 * MiB)
  using first = budget.share(MiB, 100)
  const memory = first.allocate()
  first.keep(memory)
  using other = budget.share(MiB, 4)
  expect(other.allocate().byteLength).toBe(other.shape.slotBytes * other.shape.slotCount)
  using third = budget.share(MiB, 100)
  expect(third.allocate()).not.toBe(memory)
})
