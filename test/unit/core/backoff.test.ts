// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFatal, isTransient, randomExponential, uniform } from '../../../agent/core/backoff.ts'
import { AgentError, type ErrorKind } from '../../../agent/core/errors.ts'

const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const wait = fc.nat(3_600_000)

describe('a random wait', () => {
  test('is drawn evenly between its bounds', () => {
    fc.assert(
      fc.property(fraction, wait, wait, (drawn, a, b) => {
        const [min, max] = [Math.min(a, b), Math.max(a, b)]
        const ms = uniform(() => drawn, min, max)
        expect(ms).toBeGreaterThanOrEqual(min)
        expect(ms).toBeLessThanOrEqual(max)
        expect(ms).toBeCloseTo(min + drawn * (max - min), 6)
      }),
    )
  })

  test('grows from attempt to attempt up to its limit, and never leaves its bounds', () => {
    fc.assert(
      fc.property(
        fraction,
        fc.integer({ min: 1, max: 10_000 }),
        wait,
        wait,
        (drawn, attempt, a, b) => {
          const bounds = { minMs: Math.min(a, b), maxMs: Math.max(a, b) }
          const ms = randomExponential(() => drawn, attempt, bounds)
          expect(ms).toBeGreaterThanOrEqual(bounds.minMs)
          expect(ms).toBeLessThanOrEqual(bounds.maxMs)
          const later = randomExponential(() => drawn, attempt + 1, bounds)
          expect(later).toBeGreaterThanOrEqual(ms)
        },
      ),
    )
  })

  test('doubles its ceiling with each attempt: 1, 2, 4 … times the least', () => {
    const longest = (attempt: number) =>
      randomExponential(() => 1 - Number.EPSILON, attempt, { minMs: 1000, maxMs: 60_000 })
    const seconds = [1, 2, 3, 4, 7, 8].map((attempt) => Math.round(longest(attempt) / 1000))
    expect(seconds).toEqual([1, 2, 4, 8, 60, 60])
  })

  test('is the least one where the limit lies below it', () => {
    expect(randomExponential(() => 0.9, 5, { minMs: 1000, maxMs: 10 })).toBe(1000)
  })
})

describe('what to do after an error', () => {
  const table: readonly [ErrorKind, boolean, boolean][] = [
    ['transient', true, false],
    ['source', false, false],
    ['fatal', false, true],
    ['operator', false, true],
  ]
  test.each(table)('of kind %s: ask again %s, stop %s', (kind, again, stop) => {
    const error = new AgentError('ImageDownloadError', 'x', { kind })
    expect([isTransient(error), isFatal(error)]).toEqual([again, stop])
  })

  test('that is not of the agent is neither', () => {
    for (const error of [new Error('x'), 'x', undefined, { kind: 'transient' }]) {
      expect([isTransient(error), isFatal(error)]).toEqual([false, false])
    }
  })
})
