import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERROR_TABLE } from '../../agent/core/errors.ts'

test('docs/errors.md has each error type with its status and kind, and no other', () => {
  const rows = [
    ...readFileSync('docs/errors.md', 'utf8').matchAll(
      /^\| `(\w+)` \| (\d+) \| `(\w+)` \| (.+) \|$/gm,
    ),
  ]
  const documented = rows.map(([, type, status, kind]) => ({ type, status: Number(status), kind }))
  const known = Object.entries(ERROR_TABLE).map(([type, { status, kind }]) => ({
    type,
    status,
    kind,
  }))
  expect(documented).toEqual(known)
  for (const [row, type, , , advice] of rows) {
    expect(advice?.length, `${type} says when and what to do: ${row}`).toBeGreaterThan(10)
  }
})
