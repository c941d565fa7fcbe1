import { describe, expect, test } from 'vitest'
import { readHouse } from '../support/house/graph.ts'
import { HOUSE } from '../support/house/layers.ts'
import { RULES } from '../support/house/rules.ts'

const house = readHouse(HOUSE)

describe('the house', () => {
  test.each(Object.entries(RULES))('%s', (_sentence, rule) => {
    expect(rule(house)).toEqual([])
  })
})
