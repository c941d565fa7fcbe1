import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  Candidates,
  drawOrder,
} from '../../../../../../agent/sources/swarm/engine/pieces/candidates.ts'

test('every order is drawn from all pieces', () => {
  let seed = 7
  const random = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed / 2 ** 32
  }
  const order = drawOrder(1000, random)
  expect([...order]).not.toEqual([...order].sort((a, b) => a - b))
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
})

test('a candidate is found whenever there is one, also if more came than are remembered', () => {
  const PIECES = 3000
  const order = Uint32Array.from({ length: PIECES }, (_, piece) => (piece * 7) % PIECES)
  const steps = fc.array(
    fc.tuple(fc.boolean(), fc.nat(PIECES - 1), fc.integer({ min: 1, max: 1500 })),
    {
      maxLength: 12,
    },
  )
  fc.assert(
    fc.property(steps, (list) => {
      const wanted = new Set<number>()
      const candidates = new Candidates(order)
      const change = (isAdded: boolean, first: number, count: number) => {
        for (let piece = first; piece < Math.min(first + count, PIECES); piece++) {
          if (!isAdded) wanted.delete(piece)
          else if (!wanted.has(piece)) {
            wanted.add(piece)
            candidates.add(piece)
          }
        }
      }
      for (const [isAdded, first, count] of list) {
        change(isAdded, first, count)
        const found = candidates.find(
          (piece) => wanted.has(piece),
          () => true,
        )
        if (wanted.size === 0) expect(found).toBe(-1)
        else expect(wanted.has(found)).toBe(true)
      }
    }),
  )
})

test('one whose turn it is not is passed over, and found later', () => {
  const candidates = new Candidates(Uint32Array.of(2, 0, 1))
  expect(
    candidates.find(
      () => true,
      (piece) => piece === 1,
    ),
  ).toBe(1)
  expect(
    candidates.find(
      () => true,
      () => true,
    ),
  ).toBe(2)
})
