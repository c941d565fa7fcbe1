// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isObject, isTruthyWord, objectAt, stringAt } from '../../../agent/core/json.ts'

describe('values from outside', () => {
  test('are objects exactly if JSON writes them with braces', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(isObject(value)).toBe(JSON.stringify(value).startsWith('{'))
      }),
    )
    expect(isObject(undefined)).toBe(false)
  })

  test('give an object at any key, the one that is there or an empty one', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, key) => {
        const inner = objectAt(value, key)
        expect(isObject(inner)).toBe(true)
        const held = isObject(value) ? value[key] : undefined
        expect(inner).toEqual(isObject(held) ? held : {})
      }),
    )
  })

  test('give the text at a key, and undefined for everything else', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = typeof value === 'string' && value !== '' ? value : undefined
        expect(stringAt({ key: value }, 'key')).toBe(text)
        expect(stringAt({ key: value }, 'other')).toBeUndefined()
        expect(stringAt(value, 'length')).toBe(
          isObject(value) && typeof value['length'] === 'string' && value['length'] !== ''
            ? value['length']
            : undefined,
        )
      }),
    )
  })
})

describe('words of kernel parameters', () => {
  test.each(['1', 'true', 'True', 'YES', 'on', 't', ' y '])('"%s" means true', (word) => {
    expect(isTruthyWord(word)).toBe(true)
  })

  test.each(['', '0', 'false', 'no', 'off', 'truely', '11', 'enabled'])('"%s" does not', (word) => {
    expect(isTruthyWord(word)).toBe(false)
  })
})
