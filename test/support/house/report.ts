// SPDX-License-Identifier: Apache-2.0
// Owns `make house`: what lies in which folder, what breaks a rule, how much test there is to how much
// source. Ends with 1 if a rule is broken. Does not hold the rules; rules.ts does.
//
// Counted: lines of .ts files; tests are those below test/ without test/fixtures, sources those below
// agent/, extensions/ and image-build/. Tests as written: calls of `test` and `test.each`, a table once.
// TESTS=1 asks vitest for the tests as they run, tables and loops spread out; that takes a minute.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { circlesOf, foldersOf, type House, linesOf, readHouse, typescriptBelow } from './graph.ts'
import { HOUSE, MANY_FILES_OF_A_FOLDER } from './layers.ts'
import { arrowsAgainst, RULES } from './rules.ts'
import { readSource } from './source-text.ts'

const LEAST_TEST_LINES = 1.2
const TEST_CALL = /(?<![.\w])(?:test|it)(?:\.\w+)*\s*[(`]/g

const house = readHouse(HOUSE)
console.log(table(house).join('\n'))
console.log(`\n${tests(house).join('\n')}\n`)
const broken = Object.entries(RULES).map(([sentence, rule]) => ({ sentence, found: rule(house) }))
for (const { sentence, found } of broken) {
  console.log(`${found.length === 0 ? 'holds' : `${found.length} AGAINST`}: ${sentence}`)
  for (const line of found) console.log(`    ${line}`)
}
process.exitCode = broken.some(({ found }) => found.length > 0) ? 1 : 0

function table(of: House): string[] {
  const circles = circlesOf(of)
  const arrows = arrowsAgainst(of)
  const rows = [...foldersOf(of)].map(([folder, files]) => {
    const largest = files.toSorted((a, b) => b.lines - a.lines)[0]
    const isHere = (path: string) => posix.dirname(path) === folder
    return [
      folder,
      `${files.length}${files.length > MANY_FILES_OF_A_FOLDER ? '!' : ''}`,
      `${files.reduce((sum, { lines }) => sum + lines, 0)}`,
      `${largest?.lines} ${posix.basename(largest?.path ?? '')}`,
      `${circles.filter((circle) => circle.some(isHere)).length}`,
      `${arrows.filter(({ from }) => isHere(from)).length}`,
    ]
  })
  const total = [
    'all',
    `${of.files.length}`,
    `${of.files.reduce((sum, { lines }) => sum + lines, 0)}`,
    '',
    `${circles.length}`,
    `${arrows.length}`,
  ]
  const head = ['folder', 'files', 'lines', 'largest file', 'circles', 'against']
  return aligned([head, ...rows.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)), total])
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  const isText = (column: number) => column === 0 || column === 3
  return rows.map((row) =>
    row
      .map((cell, column) =>
        isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  )
}

function tests(of: House): string[] {
  const texts = typescriptBelow('test')
    .filter((path) => !path.startsWith('test/fixtures/'))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }))
  const lines = texts.reduce((sum, { text }) => sum + linesOf(text), 0)
  const sources = of.files.reduce((sum, file) => sum + file.lines, 0)
  const ratio = lines / sources
  const written = texts
    .filter(({ path }) => path.endsWith('.test.ts'))
    .reduce((sum, { text }) => sum + [...readSource(text).code.matchAll(TEST_CALL)].length, 0)
  return [
    `test lines ÷ source lines: ${lines} ÷ ${sources} = ${ratio.toFixed(3)}, the goal is ${LEAST_TEST_LINES}${ratio < LEAST_TEST_LINES ? ': below' : ''}`,
    `tests as written: ${written}`,
    ...(process.env['TESTS'] ? [`tests as they run: ${countTests()}`] : []),
  ]
}

function countTests(): number {
  const list = execFileSync('vitest', ['list', '--no-static-parse'], { encoding: 'utf8' })
  return list.split('\n').filter((row) => row.includes(' > ')).length
}
