// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createExtentSum, sumOf } from '../../../../agent/image/proof/extent-sum.ts'

/** Of both kinds, and where the one ends and the other begins. */
const LENGTHS = [0, 1, 511, 64 * 1024, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 300_007]

test.each(LENGTHS)('%i bytes have the same sum in whatever parts they come', (length) => {
  const data = randomBytes(length)
  fc.assert(
    fc.property(fc.array(fc.nat(length), { maxLength: 6 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), length]
      const sum = createExtentSum(length)
      for (let i = 1; i < at.length; i++) sum.update(data.subarray(at[i - 1], at[i]))
      expect(sum.value()).toBe(sumOf(data))
    }),
    { numRuns: 20 },
  )
})

test.each(LENGTHS.filter((length) => length > 0))(
  '%i bytes with one bit flipped, anywhere, have another sum',
  (length) => {
    const data = randomBytes(length)
    const whole = sumOf(data)
    fc.assert(
      fc.property(fc.nat(length - 1), fc.nat(7), (at, bit) => {
        data[at] = (data[at] as number) ^ (1 << bit)
        const other = sumOf(data)
        data[at] = (data[at] as number) ^ (1 << bit)
        expect(other).not.toBe(whole)
      }),
      { numRuns: 30 },
    )
  },
)

test('bytes that threads share have the sum of others', () => {
  const data = randomBytes(200_000)
  const shared = new Uint8Array(new SharedArrayBuffer(data.length))
  shared.set(data)
  expect(sumOf(shared)).toBe(sumOf(data))
})
