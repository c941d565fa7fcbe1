import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PieceSet } from '../../../../../agent/sources/swarm/torrent/piece-set.ts'

test('it holds what was added and not taken out again, whatever numbers come', () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(40)))
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), steps, (pieceCount, list) => {
      const pieces = new PieceSet(pieceCount)
      const model = new Set<number>()
      for (const [isAdded, piece] of list) {
        if (isAdded) pieces.add(piece)
        else pieces.delete(piece)
        if (isAdded && piece < pieceCount) model.add(piece)
        else model.delete(piece)
      }
      expect([...pieces]).toEqual([...model].sort((a, b) => a - b))
      for (let piece = 0; piece < 41; piece++) expect(pieces.has(piece)).toBe(model.has(piece))
    }),
  )
})

test('its bits are those of a BITFIELD: the first piece is the highest bit', () => {
  const pieces = new PieceSet(10)
  for (const piece of [0, 3, 9]) pieces.add(piece)
  expect([...pieces.bits]).toEqual([0b1001_0000, 0b0100_0000])
})

test('a piece beyond 32 bits is in no set', () => {
  const pieces = new PieceSet(256 * 1024)
  pieces.add(0xffff_ffff)
  expect(pieces.has(0xffff_ffff)).toBe(false)
  expect([...pieces]).toEqual([])
})
