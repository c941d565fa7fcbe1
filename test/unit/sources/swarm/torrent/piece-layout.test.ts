import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_BYTES, pieceRange } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'

test('the pieces of an image follow each other without gap, and only the last one is shorter', () => {
  const lengths = fc.record({
    blocks: fc.integer({ min: 1, max: 4 }),
    lengthBytes: fc.integer({ min: 1, max: 40 * BLOCK_BYTES }),
  })
  fc.assert(
    fc.property(lengths, ({ blocks, lengthBytes }) => {
      const pieceLength = blocks * BLOCK_BYTES
      const layout = { pieceCount: Math.ceil(lengthBytes / pieceLength), pieceLength, lengthBytes }
      let end = 0
      for (let piece = 0; piece < layout.pieceCount; piece++) {
        const range = pieceRange(layout, piece)
        expect(range.offset).toBe(end)
        if (piece < layout.pieceCount - 1) expect(range.length).toBe(pieceLength)
        else expect(range.length).toBeGreaterThan(0)
        end += range.length
      }
      expect(end).toBe(lengthBytes)
    }),
  )
})

test('a block is what BEP 3 says everybody requests', () => {
  expect(BLOCK_BYTES).toBe(16_384)
})
