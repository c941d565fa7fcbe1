import { describe, expect, test } from 'vitest'
import { moduleStateOf } from '../../../support/house/module-state.ts'

const names = (text: string) => moduleStateOf(text).map(({ name }) => name)

describe('moduleStateOf', () => {
  test.each([
    ['a let', 'let x = 0'],
    ['an exported let', 'export let x: number | undefined'],
    ['a map that is filled', 'const x = new Map<string, number>()\nconst f = () => x.set("a", 1)'],
    ['a weak map with a long type', 'const x: WeakMap<A, () => void> = new WeakMap()\nx.set(a, b)'],
    ['a list that grows', 'const x: string[] = []\nfunction f() {\n  x.push("a")\n}'],
    ['an object that is written to', 'const x = { n: 0 }\nfunction f() {\n  x.n += 1\n}'],
    ['a field that counts', 'const x = { n: 0 }\nfunction f() {\n  return x.n++\n}'],
    ['an element that is set', 'const x = [0]\nfunction f(i: number) {\n  x[i] = 1\n}'],
    ['a key that is taken out', 'const x = { n: 0 }\nfunction f() {\n  delete x.n\n}'],
    [
      'an object that others are copied into',
      'const x = {}\nfunction f(y: A) {\n  Object.assign(x, y)\n}',
    ],
    ['a buffer', 'const x = new Uint8Array(64)'],
    ['shared memory', 'const x = new SharedArrayBuffer(LENGTH)'],
    ['a thing that is made', 'export const x = createCache()'],
    ['a thing that is awaited', 'const x = await createCache()'],
  ])('finds %s', (_name, text) => {
    expect(names(text)).toEqual(['x'])
  })

  test.each([
    ['a set that is only asked', "const x = new Set(['a'])\nconst f = () => x.has('a')"],
    ['a table', 'const x = { n: 0 } as const\nconst f = () => x.n === 0 || x.n >= 1'],
    ['a function', 'const x = (y: Set<number>) => y.add(1)'],
    ['an empty array', 'const x = new Uint8Array(0)'],
    ['state of a function', 'function f() {\n  let x = 0\n  const y = new Map()\n  y.set(x, 1)\n}'],
    ['a comment', '// let x = 0\n/*\nlet x = 0\n*/'],
    ['another thing of that name', 'const x = [1]\nconst f = (y: A) => y.x.push(1)'],
    ['a comparison', 'const x = { n: 0 }\nconst f = (y: A) => x.n == y'],
  ])('takes %s for none', (_name, text) => {
    expect(names(text)).toEqual([])
  })

  test('says the line', () => {
    expect(moduleStateOf('// a\n\nlet x = 0\nlet y = 0\n')).toEqual([
      { name: 'x', line: 3 },
      { name: 'y', line: 4 },
    ])
  })
})
