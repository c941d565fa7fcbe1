// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inTurn } from '../../../../agent/image/proof/in-turn.ts'

test('gives results in the order of their beginnings, with no more under way than there are slots', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 5 }),
      async (turnsNeeded, slots) => {
        const taken = new Set<number>()
        let most = 0
        let next = 0
        const begin = (slot: number) => {
          const index = next
          const turns = turnsNeeded[next++]
          if (turns === undefined) return undefined
          // whose result is still looked at has its slot still
          expect(taken.has(slot)).toBe(false)
          taken.add(slot)
          most = Math.max(most, taken.size)
          return (async () => {
            for (let turn = 0; turn < turns; turn++) await delay(0)
            return { index, slot }
          })()
        }
        const results: number[] = []
        for await (const { index, slot } of inTurn(slots, begin)) {
          results.push(index)
          await delay(0)
          taken.delete(slot)
        }
        expect(results).toEqual(turnsNeeded.map((_, index) => index))
        expect(most).toBe(Math.min(slots, turnsNeeded.length))
      },
    ),
    { numRuns: 50 },
  )
})

test('rejects with the first failure in turn, and leaves none of the others unmet', async () => {
  const works = [
    () => Promise.resolve('first'),
    () => delay(20).then(() => Promise.reject(new Error('second'))),
    () => Promise.reject(new Error('third')),
  ]
  const results: string[] = []
  const taking = (async () => {
    for await (const result of inTurn(3, () => works.shift()?.())) results.push(result)
  })()
  await expect(taking).rejects.toThrow('second')
  expect(results).toEqual(['first'])
})

test('takes up what comes to be had while the last is under way', async () => {
  const waiting = ['a']
  const results: string[] = []
  for await (const result of inTurn(2, () => {
    const next = waiting.shift()
    return next === undefined ? undefined : Promise.resolve(next)
  })) {
    results.push(result)
    if (result === 'a') waiting.push('b', 'c')
  }
  expect(results).toEqual(['a', 'b', 'c'])
})
