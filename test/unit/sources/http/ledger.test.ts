// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { createLedger } from '../../../../agent/sources/http/ledger.ts'

const missing = [
  { offset: 10, length: 20 },
  { offset: 90, length: 10 },
]

test('begins with what was missing and counts what it took', () => {
  const ledger = createLedger(100, missing)
  expect(ledger.missing()).toEqual(missing)
  ledger.took({ offset: 10, length: 5 })
  expect(ledger.missing()).toEqual([
    { offset: 15, length: 15 },
    { offset: 90, length: 10 },
  ])
  expect(ledger.takenBytes).toBe(5)
})

test('starting over forgets what it took, not what was there before', () => {
  const ledger = createLedger(100, missing)
  ledger.took({ offset: 10, length: 20 })
  ledger.restart()
  expect(ledger.missing()).toEqual(missing)
  expect(ledger.takenBytes).toBe(0)
})
