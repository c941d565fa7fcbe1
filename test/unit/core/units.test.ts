// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  formatDuration,
  formatRate,
  GiB,
  KiB,
  MiB,
  parseBytes,
  roundDown,
  roundUp,
} from '../../../agent/core/units.ts'

const UNITS = [KiB, MiB, GiB, 1024 * GiB]
const unit = fc.integer({ min: 1, max: 2 ** 30 })

describe('sizes as text', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [KiB, '1.0 KiB'],
    [1.5 * MiB, '1.5 MiB'],
    [GiB - 1, '1024.0 MiB'],
    [GiB, '1.0 GiB'],
    [3 * 1024 * GiB, '3.0 TiB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
    expect(formatRate(bytes)).toBe(`${text}/s`)
  })

  test('are read back as they were, wherever one digit says it all', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 2047 }), fc.constantFrom(...UNITS), (halves, of) => {
        const bytes = (halves * of) / 2
        expect(parseBytes(formatBytes(bytes))).toBe(bytes)
      }),
    )
  })

  test.each([
    ['4096', 4096],
    ['512K', 512 * KiB],
    ['4M', 4 * MiB],
    ['4MB', 4 * MiB],
    ['2GiB', 2 * GiB],
    [' 1.5 gib ', 1.5 * GiB],
    ['1T', 1024 * GiB],
    ['0', 0],
  ])('%s is read in binary units', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })

  test.each(['', 'M', '-1', '1.5', '1e3', '4X', '4 M M', '0x10', '99999999T', '1.3K'])(
    '"%s" is no number of bytes',
    (text) => {
      expect(parseBytes(text)).toBeUndefined()
    },
  )
})

describe('durations as text', () => {
  test.each([
    [0, '0:00'],
    [59.6, '1:00'],
    [61, '1:01'],
    [3599, '59:59'],
    [3661, '1:01:01'],
    [100 * 3600, '100:00:00'],
    [-3, '0:00'],
    [undefined, '-'],
    [Number.POSITIVE_INFINITY, '-'],
    [Number.NaN, '-'],
  ])('%s seconds are %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text)
  })
})

describe('rounding to a unit', () => {
  test('leads to the multiples on both sides, less than a unit away', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 45), unit, (bytes, of) => {
        const [down, up] = [roundDown(bytes, of), roundUp(bytes, of)]
        expect([down % of, up % of]).toEqual([0, 0])
        expect(down <= bytes && bytes < down + of).toBe(true)
        expect(up >= bytes && up - of < bytes).toBe(true)
      }),
    )
  })

  test('leaves multiples as they are', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 15), unit, (count, of) => {
        expect([roundDown(count * of, of), roundUp(count * of, of)]).toEqual([
          count * of,
          count * of,
        ])
      }),
    )
  })
})
