import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readDocument } from '../../support/house/document.ts'
import { readHouse } from '../../support/house/graph.ts'
import { HOUSE } from '../../support/house/layers.ts'
import { WALKING, walksOf } from '../../support/house/walks.ts'

const PAGE = 'docs/how-it-works.md'
const house = readHouse(HOUSE)
const walks = walksOf(readDocument(PAGE, readFileSync(PAGE, 'utf8')))

test('docs/how-it-works.md walks with image_info and with a piece', () => {
  expect([...walks].map(([heading, steps]) => [heading, steps.length > 30])).toEqual([
    ['The walk of image_info', true],
    ['The walk of a piece', true],
  ])
})

describe.each([...walks])('%s', (_heading, steps) => {
  test.each(Object.entries(WALKING))('%s', (_sentence, against) => {
    expect(against(steps, house)).toEqual([])
  })
})
