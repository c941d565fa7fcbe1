import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  PATTERN_FLAGS,
  translatePattern,
} from '../../../../agent/hardware/firmware/python-pattern/translate.ts'

/** What Python 3.11 made of a pattern, without regard to case: in which texts it was found; null: it was refused. */
interface Recorded {
  readonly pattern: string
  readonly matches: readonly number[] | null
}

const [head = '', ...lines] = readFileSync('test/fixtures/python-patterns.jsonl', 'utf8')
  .trim()
  .split('\n')
const TEXTS = (JSON.parse(head) as { texts: string[] }).texts
const RECORDED = lines.map((line) => JSON.parse(line) as Recorded)

/** Where the two may differ, and how. */
const DIFFERENT: Readonly<Record<string, 'refused' | readonly number[]>> = {
  // Python before 3.14 finds no \B in an empty text
  '\\B': TEXTS.flatMap((_text, i) => (i === 16 ? [] : [i])),
  // a look-behind of any length does no harm here
  '(?<=a+)b': [4, 9, 10],
}

function ours(pattern: string): { matches: readonly number[] } | { refused: string } {
  try {
    const compiled = new RegExp(translatePattern(pattern), PATTERN_FLAGS)
    return { matches: TEXTS.flatMap((text, i) => (compiled.test(text) ? [i] : [])) }
  } catch (error) {
    expect(error).toMatchObject({ name: 'PatternError' })
    return { refused: (error as Error).message }
  }
}

describe('a pattern of Python', () => {
  test('is found in the same texts, or refused, as by Python', () => {
    expect(RECORDED.length).toBeGreaterThan(300)
    const differences = RECORDED.flatMap<unknown>(({ pattern, matches }) => {
      const own = ours(pattern)
      if ('refused' in own) {
        const isUntranslatable = /may have matched nothing|has no meaning here/.test(own.refused)
        return matches === null || isUntranslatable ? [] : [{ pattern, matches, own }]
      }
      const expected = DIFFERENT[pattern] ?? matches
      return JSON.stringify(own.matches) === JSON.stringify(expected)
        ? []
        : [{ pattern, matches, own }]
    })
    expect(differences).toEqual([])
  })

  test('that is refused here though Python takes it is one of a few kinds', () => {
    const refused = RECORDED.filter(({ pattern, matches }) => matches && 'refused' in ours(pattern))
    const kinds = refused.map(({ pattern }) => {
      const own = ours(pattern)
      return 'refused' in own ? own.refused.replace(/ at position \d+$|\d+/g, '') : ''
    })
    expect(new Set(kinds)).toEqual(
      new Set([
        '\\N has no meaning here',
        '(? with what follows it has no meaning here',
        'group  may have matched nothing there, which cannot be told here',
      ]),
    )
    expect(refused.length).toBeLessThan(RECORDED.length / 20)
  })

  test.each([
    ['shim[', 'a [ is not closed at position 5'],
    ['(?P<a>x)(?P=b)', 'there is no group called b before it at position 14'],
    ['a{3,2}', 'a repetition whose most is less than its least at position 6'],
    ['(?(1)a|b)', '(? with what follows it has no meaning here at position 2'],
    [`${'('.repeat(60)}`, 'more than 50 parentheses inside of each other at position 50'],
  ])('%s is refused with the reason and the place', (pattern, refused) => {
    expect(ours(pattern)).toEqual({ refused })
  })
})
