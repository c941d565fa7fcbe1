import { describe, expect, test } from 'vitest'
import { importsOf, targetOf } from '../../../support/house/imports.ts'

const specifiers = (text: string) => importsOf(text).map(({ specifier }) => specifier)

describe('importsOf', () => {
  test.each([
    ['names', "import { a } from './a.ts'"],
    ['types', "import type { A } from './a.ts'"],
    ['a default and names', "import a, { type B } from './a.ts'"],
    ['everything', "import * as a from './a.ts'"],
    ['names over several lines', "import {\n  a,\n  // b, from 'x'\n  c,\n} from './a.ts'"],
    ['nothing', "import './a.ts'"],
    ['what it exports', "export { a } from './a.ts'"],
    ['the types it exports', "export type {\n  A,\n} from './a.ts'"],
    ['all that it exports', "export * from './a.ts'"],
    ['at run time', "const { a } = await import('./a.ts')"],
    ['at run time, over several lines', "const a = await import(\n  './a.ts'\n)"],
    ['the type of a module', "let a: typeof import('./a.ts')"],
    ['a worker', "new Worker(new URL('./a.ts', import.meta.url), {})"],
    [
      'a worker, over several lines',
      "new Worker(\n  new URL(\n    './a.ts',\n    import.meta.url,\n  ),\n)",
    ],
    ['behind a regular expression with quotes', "const p = /['\"`]/g\nimport './a.ts'"],
    ['behind a division', "const half = all / 2\nimport './a.ts' // it's half / 2"],
    ['inside of a template', `const t = \`$\{await import('./a.ts')} it's\``],
  ])('finds an import of %s', (_name, text) => {
    expect(specifiers(text)).toEqual(['./a.ts'])
  })

  test.each([
    ['a comment', "// import { a } from './a.ts'\n/* import './a.ts' */"],
    ['a text', 'const text = "import { a } from \'./a.ts\'"'],
    ['a template', "const text = `import './a.ts'`"],
    ['a regular expression', "const pattern = /import '.\\/a.ts'/"],
    ['a URL of something else', "new URL('../package.json', import.meta.url)"],
    ['a URL beside another place', "new URL('./a.ts', 'http://x/')"],
    ['an import of a word', 'const a = await import(name)'],
    ['an export of its own', "export const from = 'x'\nexport function a() { return 'y' }"],
  ])('takes %s for none', (_name, text) => {
    expect(specifiers(text)).toEqual([])
  })

  test('says the line, in the order of the file', () => {
    const text = "import {\n  a,\n} from './a.ts'\n\nconst b = () => import('./b.ts')\nimport 'c'\n"
    expect(importsOf(text)).toEqual([
      { specifier: './a.ts', line: 3, isWorker: false },
      { specifier: './b.ts', line: 5, isWorker: false },
      { specifier: 'c', line: 6, isWorker: false },
    ])
    expect(importsOf("new Worker(new URL('./a.ts', import.meta.url))")).toEqual([
      { specifier: './a.ts', line: 1, isWorker: true },
    ])
  })
})

test('a specifier leads to a path from the root, a package stays as it is', () => {
  expect(targetOf('agent/image/plan/plan.ts', '../../core/units.ts')).toBe('agent/core/units.ts')
  expect(targetOf('agent/image/plan/plan.ts', './plan.ts')).toBe('agent/image/plan/plan.ts')
  expect(targetOf('agent/image/plan/plan.ts', 'node:fs')).toBe('node:fs')
})
