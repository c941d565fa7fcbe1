import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import type { CommandLine } from '../../../agent/cli/command-line.ts'
import { createProgram } from '../../../agent/cli/program.ts'
import type { OptionRow } from '../../../agent/config/option-row.ts'
import { OPTIONS } from '../../../agent/config/options.ts'
import { AgentError, ERROR_TABLE } from '../../../agent/core/errors.ts'
import { readDocument } from '../../support/house/document.ts'
import { FOREIGN } from '../../support/house/foreign-names.ts'
import { anchorsOf, type Known, NAMINGS, strayFilesOf } from '../../support/house/named.ts'

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  encoding: 'utf8',
})
  .trim()
  .split('\n')
const pages = files
  .filter((path) => /^(?:README|CONTRIBUTING)\.md$|^docs\/.*\.md$|\/STATE\.md$/.test(path))
  .map((path) => readDocument(path, readFileSync(path, 'utf8')))

const makefile = readFileSync('Makefile', 'utf8')
const sources = files.filter(
  (path) => /^(?:agent|extensions|image-build|test)\//.test(path) || path === 'biome.json',
)

const known: Known = {
  files,
  anchors: new Map(pages.map((page) => [page.path, anchorsOf(page)])),
  kernelParameters: new Set(
    Object.values<OptionRow>(OPTIONS).flatMap(({ karg }) => (karg === undefined ? [] : [karg])),
  ),
  options: new Set(Object.keys(OPTIONS)),
  errors: new Set([...Object.keys(ERROR_TABLE), AgentError.name]),
  commands: commands(),
  targets: new Set([...makefile.matchAll(/^([a-z][a-z-]*):/gm)].map(([, name]) => name as string)),
  variables: new Set(makefile.match(/\b[A-Z_]+\b/g)),
  words: new Set(
    sources
      .filter((path) => !path.startsWith('test/unit/docs/') && !path.endsWith('foreign-names.ts'))
      .flatMap((path) => readFileSync(path, 'utf8').match(/\w+/g) ?? []),
  ),
  foreign: new Set(Object.values(FOREIGN).flat()),
}

/** Commands with their flags, as `ironswarm --help` knows them. */
function commands(): Map<string, Set<string>> {
  const line = { version: '0', stdout: { write: () => true }, stderr: { write: () => true } }
  const leaves = (command: Command, before: string): [string, Set<string>][] => {
    const name = `${before} ${command.name()}`.trim()
    if (command.commands.length > 0) return command.commands.flatMap((sub) => leaves(sub, name))
    return [[name, new Set(command.options.flatMap(({ long }) => long ?? []))]]
  }
  const program = createProgram(line as unknown as CommandLine)
  return new Map(program.commands.flatMap((command) => leaves(command, '')))
}

describe('README.md, CONTRIBUTING.md and docs/ name only what there is', () => {
  test.each(Object.entries(NAMINGS))('%s', (_kind, naming) => {
    expect(pages.flatMap((page) => naming(page, known))).toEqual([])
  })
})

test.each([
  ['README.md', 80],
  ['CONTRIBUTING.md', 120],
])('%s has at most %i lines', (path, most) => {
  expect(readFileSync(path, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(most)
})

test('comments name only files that there are', () => {
  const stray = sources
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => strayFilesOf(path, readFileSync(path, 'utf8'), files))
  expect(stray).toEqual([])
})
