// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Coverage } from '../../../agent/core/coverage.ts'
import { endOf } from '../../../agent/core/extent.ts'

const TOTAL = 40

const range = fc
  .tuple(fc.nat(TOTAL), fc.nat(TOTAL))
  .map(([a, b]) => ({ offset: Math.min(a, b), length: Math.abs(a - b) }))

/** A coverage of these ranges, and the plain set of offsets it stands for. */
function both(ranges: readonly { offset: number; length: number }[]) {
  const coverage = new Coverage(TOTAL)
  const offsets = new Set<number>()
  for (const { offset, length } of ranges) {
    coverage.add({ offset, length })
    for (let at = offset; at < offset + length; at++) offsets.add(at)
  }
  return { coverage, offsets }
}

/** The same after ranges were added (true) and taken out. */
function afterSteps(list: readonly (readonly [boolean, { offset: number; length: number }])[]) {
  const coverage = new Coverage(TOTAL)
  const offsets = new Set<number>()
  for (const [isAdded, each] of list) {
    coverage[isAdded ? 'add' : 'remove'](each)
    const bytes = Array.from({ length: each.length }, (_, i) => each.offset + i)
    for (const at of bytes) offsets[isAdded ? 'add' : 'delete'](at)
  }
  return { coverage, offsets }
}

describe('a coverage', () => {
  test('counts every byte once, however ranges overlap and touch', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const { coverage, offsets } = both(ranges)
        expect(coverage.coveredBytes).toBe(offsets.size)
        expect(coverage.isComplete).toBe(offsets.size === TOTAL)
      }),
    )
  })

  test('has nothing of what was taken out, and all of the rest', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), range), { maxLength: 16 })
    fc.assert(
      fc.property(steps, (list) => {
        const { coverage, offsets } = afterSteps(list)
        expect(coverage.coveredBytes).toBe(offsets.size)
        for (let at = 0; at < TOTAL; at++) {
          expect(coverage.has({ offset: at, length: 1 })).toBe(offsets.has(at))
        }
        const missing = coverage.missing().reduce((sum, { length }) => sum + length, 0)
        expect(missing).toBe(TOTAL - offsets.size)
      }),
    )
  })

  test('has a range exactly if it has every byte of it', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), range, (ranges, asked) => {
        const { coverage, offsets } = both(ranges)
        const bytes = Array.from({ length: asked.length }, (_, i) => asked.offset + i)
        expect(coverage.has(asked)).toBe(bytes.every((at) => offsets.has(at)))
      }),
    )
  })

  test('is missing every other byte, in ascending runs that do not touch', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const { coverage, offsets } = both(ranges)
        const missing = coverage.missing()
        const listed = missing.flatMap(({ offset, length }) =>
          Array.from({ length }, (_, i) => offset + i),
        )
        const wanted = Array.from({ length: TOTAL }, (_, at) => at).filter((at) => !offsets.has(at))
        expect(listed).toEqual(wanted)
        for (const [i, run] of missing.entries()) {
          expect(run.length).toBeGreaterThan(0)
          const before = missing[i - 1]
          if (before) expect(run.offset).toBeGreaterThan(endOf(before))
        }
      }),
    )
  })

  test('reaches from the first byte as far as nothing is missing', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const { coverage, offsets } = both(ranges)
        let end = 0
        while (offsets.has(end)) end++
        expect(coverage.contiguousBytes).toBe(end)
      }),
    )
  })

  test('does not depend on the order in which ranges come', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const there = both(ranges).coverage
        const back = both([...ranges].reverse()).coverage
        expect(back.missing()).toEqual(there.missing())
        expect(back.coveredBytes).toBe(there.coveredBytes)
      }),
    )
  })

  test('is complete once what was missing is added', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const { coverage } = both(ranges)
        for (const run of coverage.missing()) coverage.add(run)
        expect([coverage.isComplete, coverage.missing()]).toEqual([true, []])
      }),
    )
  })

  test('keeps what it has when a range lies outside of the image', () => {
    const { coverage } = both([{ offset: 3, length: 4 }])
    for (const outside of [
      { offset: TOTAL, length: 1 },
      { offset: 0, length: TOTAL + 1 },
      { offset: -1, length: 1 },
      { offset: 5, length: -1 },
    ]) {
      expect(() => coverage.add(outside)).toThrow(RangeError)
    }
    expect(coverage.coveredBytes).toBe(4)
  })

  test('of an image without bytes is complete from the beginning', () => {
    const empty = new Coverage(0)
    empty.add({ offset: 0, length: 0 })
    expect([empty.isComplete, empty.contiguousBytes, empty.missing()]).toEqual([true, 0, []])
  })
})
