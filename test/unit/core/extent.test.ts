// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { endOf, intersect } from '../../../agent/core/extent.ts'

const range = fc.record({ offset: fc.nat(50), length: fc.nat(20) })

function offsetsOf({ offset, length }: { offset: number; length: number }): number[] {
  return Array.from({ length }, (_, i) => offset + i)
}

describe('the part that two ranges share', () => {
  test('has exactly the bytes that lie in both, and is undefined for none', () => {
    fc.assert(
      fc.property(range, range, (a, b) => {
        const inBoth = offsetsOf(a).filter((at) => offsetsOf(b).includes(at))
        const shared = intersect(a, b)
        expect(shared === undefined ? [] : offsetsOf(shared)).toEqual(inBoth)
        expect(shared === undefined).toBe(inBoth.length === 0)
      }),
    )
  })

  test('is the same from either side', () => {
    fc.assert(
      fc.property(range, range, (a, b) => {
        expect(intersect(a, b)).toEqual(intersect(b, a))
      }),
    )
  })

  test('of ranges that only touch is nothing', () => {
    const left = { offset: 3, length: 4 }
    expect(intersect(left, { offset: endOf(left), length: 1 })).toBeUndefined()
  })
})
