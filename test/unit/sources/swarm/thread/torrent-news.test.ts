import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ON_DISK } from '../../../../../agent/sources/swarm/thread/protocol.ts'
import { pieceMap } from '../../../../../agent/sources/swarm/thread/torrent-news.ts'

const { no, verified, claimed } = ON_DISK

test('the map of pieces has a digit for each stretch, and a plus where all of it is verified', () => {
  expect(pieceMap(Uint8Array.of(verified, verified, no, verified), 2)).toBe('+5')
  expect(pieceMap(Uint8Array.of(verified, claimed), 10)).toBe('+0')
  expect(pieceMap(new Uint8Array(0), 10)).toBe('')
})

test('the map is as long as it may be, and never says more than is there', () => {
  const disks = fc.uint8Array({ max: 2, minLength: 1, maxLength: 600 })
  fc.assert(
    fc.property(disks, fc.integer({ min: 1, max: 200 }), (onDisk, cells) => {
      const map = pieceMap(onDisk, cells)
      expect(map).toHaveLength(Math.min(cells, onDisk.length))
      const isWhole = onDisk.every((state) => state === verified)
      expect(/^\++$/.test(map)).toBe(isWhole)
      if (onDisk.every((state) => state !== verified)) expect(map).toMatch(/^0+$/)
    }),
  )
})
