import fc from 'fast-check'
import { expect, test } from 'vitest'
import { copyToShared } from '../../../agent/core/shared-copy.ts'

const SIZE = 300_000
const source = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) >> 3)
const near = fc.nat(40)
const length = fc.constantFrom(0, 1, 7, 1460, 16_384, 65_536, 65_537, 200_000)

test.each([
  ['shared', () => new SharedArrayBuffer(SIZE)],
  ['other', () => new ArrayBuffer(SIZE)],
])('bytes arrive in %s memory as they are, however source and target lie', (_, allocate) => {
  const memory = allocate()
  fc.assert(
    fc.property(near, near, near, length, (from, at, base, count) => {
      const whole = new Uint8Array(memory).fill(0xaa)
      const bytes = source.subarray(from, from + count)
      copyToShared(new Uint8Array(memory, base), bytes, at)
      const expected = Buffer.alloc(SIZE, 0xaa)
      expected.set(bytes, base + at)
      expect(Buffer.compare(Buffer.from(whole), expected)).toBe(0)
    }),
    { numRuns: 200 },
  )
})

test('what does not fit is refused before a byte is written', () => {
  const target = new Uint8Array(new SharedArrayBuffer(8))
  expect(() => copyToShared(target, new Uint8Array(5).fill(1), 4)).toThrow(RangeError)
  expect(() => copyToShared(target, new Uint8Array(5).fill(1), -1)).toThrow(RangeError)
  expect([...target]).toEqual(new Array(8).fill(0))
})
