// SPDX-License-Identifier: Apache-2.0
// Owns finding what the pages name and nobody has: paths, links, options, flags, commands, errors, make
// targets, words of the code. Does not read the project; whoever asks brings what there is.
import { posix } from 'node:path'
import { anchorOf, type Document, type Mark } from './document.ts'
import { readSource } from './source-text.ts'

/** What there is to be named. */
export interface Known {
  /** Files from the root. */
  readonly files: readonly string[]
  /** Pages with their anchors. */
  readonly anchors: ReadonlyMap<string, ReadonlySet<string>>
  readonly kernelParameters: ReadonlySet<string>
  /** Names of options; `IRONSWARM_…` is one in capitals. */
  readonly options: ReadonlySet<string>
  readonly errors: ReadonlySet<string>
  /** Commands of `ironswarm`, `torrent create` among them, with their flags. */
  readonly commands: ReadonlyMap<string, ReadonlySet<string>>
  readonly targets: ReadonlySet<string>
  readonly variables: ReadonlySet<string>
  /** Every word of the sources and tests. */
  readonly words: ReadonlySet<string>
  /** Names of other projects. */
  readonly foreign: ReadonlySet<string>
}

/** Finds what is named and not there, as `page:line: name`. */
export type Naming = (document: Document, known: Known) => string[]

const PATH = /(?<![\w/.@-])(?:agent|extensions|test|docs|image-build|\.ci)\/[\w./{},*-]*/g

const paths: Naming = (document, { files }) =>
  document.text
    .split('\n')
    .flatMap((text, at) => found(text, PATH).map((name) => ({ text: name, line: at + 1 })))
    .filter(({ text }) => !braces(text).every((path) => hasPath(files, path)))
    .map(said(document))

function hasPath(files: readonly string[], path: string): boolean {
  const name = path.replace(/[.,/]+$/, '')
  if (name.includes('*')) return files.some((file) => posix.matchesGlob(file, name))
  return files.some((file) => file === name || file.startsWith(`${name}/`))
}

/** `a/{b,c}.ts` is two paths. */
export function braces(path: string): string[] {
  const [, before = '', inside = '', after = ''] = /^(.*?)\{([^{}]+)\}(.*)$/.exec(path) ?? []
  if (inside === '') return [path]
  return inside.split(',').flatMap((part) => braces(`${before}${part}${after}`))
}

/** A file or folder named without its whole way, such as `plan/plan.ts` or `wire/`. */
const places: Naming = (document, { files }) =>
  document.spans
    .filter(({ text }) => /^(?:[a-z0-9-]+\/)*[a-z0-9.-]+\.ts$|^(?:[a-z0-9-]+\/)+$/.test(text))
    .filter(({ text }) => !/^(?:build|node_modules)\//.test(text))
    .filter(({ text }) => !files.some((file) => `/${file}`.includes(`/${text}`)))
    .map(said(document))

const links: Naming = (document, { files, anchors }) =>
  document.links
    .filter(({ text }) => !/^[a-z]+:/.test(text))
    .filter(({ text }) => {
      const [target = '', anchor] = text.split('#')
      const path = target === '' ? document.path : posix.join(posix.dirname(document.path), target)
      if (!hasPath(files, path)) return true
      return anchor !== undefined && anchors.get(path)?.has(anchor) !== true
    })
    .map(said(document))

const parameters: Naming = (document, { kernelParameters }) =>
  [...document.spans, ...document.code]
    .flatMap((mark) => words(mark, /(?<![\w/-])ipa-[a-z0-9]+(?:-[a-z0-9]+)*(?!\*)/g))
    .filter(({ text }) => !kernelParameters.has(text))
    .map(said(document))

const variables: Naming = (document, { options }) =>
  [...document.spans, ...document.code]
    .flatMap((mark) => words(mark, /\bIRONSWARM_[A-Z0-9_]*[A-Z0-9]/g))
    .filter(({ text }) => !options.has(text.slice('IRONSWARM_'.length).toLowerCase()))
    .map(said(document))

const errors: Naming = (document, known) =>
  document.text
    .split('\n')
    .flatMap((text, at) => words({ text, line: at + 1 }, /\b[A-Z]\w*[a-z]Error\b/g))
    .filter(({ text }) => !known.errors.has(text) && !known.foreign.has(text))
    .map(said(document))

/** `ironswarm COMMAND --flag`, and in docs/cli.md the flags that stand below a command's heading. */
const commandLines: Naming = (document, known) =>
  [...document.spans, ...document.code]
    .flatMap((mark) => {
      const line = /^(?:\$ )?(?:npx |\S*agent\/)?ironswarm (?!torrent$)([^#|]+)/.exec(
        mark.text,
      )?.[1]
      if (line === undefined) return []
      const [first = '', second = ''] = line.split(/\s+/)
      if (/^(?:--(?:help|version)|COMMAND)$/.test(first)) return []
      const name = [`${first} ${second}`, first].find((command) => known.commands.has(command))
      if (name === undefined) return [{ ...mark, text: `ironswarm ${first}` }]
      return flagsOf(line)
        .filter((flag) => known.commands.get(name)?.has(flag) !== true)
        .map((flag) => ({ ...mark, text: `ironswarm ${name} ${flag}` }))
    })
    .map(said(document))

/** What npx runs where the project has no such program is whatever somebody has put into the registry. */
const strangers: Naming = (document) =>
  document.text
    .split('\n')
    .flatMap((text, at) =>
      words({ text, line: at + 1 }, /\b(?:npx|npm (?:exec|x)|bunx|pnpm dlx)\b +(?!vitest\b)\S+/g),
    )
    .map(said(document))

const flags: Naming = (document, known) => {
  const ofAny = new Set([...known.commands.values()].flatMap((of) => [...of]))
  // of the program itself
  ofAny.add('--help').add('--version')
  return document.spans
    .flatMap((mark) => {
      const [first = ''] = mark.text.split(' ')
      if (!first.startsWith('--') && !known.commands.has(first)) return []
      const heading = document.headings.findLast(({ line }) => line < mark.line)?.text ?? ''
      const section = /^`ironswarm ([^`]+)`$/.exec(heading)?.[1]
      const those = known.commands.get(first) ?? known.commands.get(section ?? '') ?? ofAny
      return flagsOf(mark.text)
        .filter((flag) => !those.has(flag) && !known.foreign.has(flag))
        .map((flag) => ({ ...mark, text: flag }))
    })
    .map(said(document))
}

function flagsOf(line: string): string[] {
  return found(line, /(?<!\S)--[a-z][a-z0-9-]*/g)
}

const targets: Naming = (document, known) =>
  [...document.spans, ...document.code]
    .flatMap((mark) => {
      const line = /^(?:[A-Z_]+=\S+ )*make (?!TARGET)([^#]*)/.exec(mark.text)?.[0]
      if (line === undefined) return []
      return line
        .replace(/'[^']*'/g, '')
        .split(/\s+/)
        .filter((word) => word !== '' && word !== 'make')
        .filter((word) => {
          const [, variable] = /^([A-Z_]+)=/.exec(word) ?? []
          return variable === undefined ? !known.targets.has(word) : !known.variables.has(variable)
        })
        .map((word) => ({ ...mark, text: `make ${word}` }))
    })
    .map(said(document))

const CODE_WORD =
  /(?<![\w@%-])(?:[a-z0-9]+(?:_[a-z0-9]+)+|[A-Za-z]+[a-z0-9][A-Z]\w*|[A-Z]+(?:_[A-Z0-9]+)+|[A-Z]{2}[A-Z_]*(?==))(?!\w)/g

/** `swarm_mode`, `bootRanges`, `PiecePicker`, `NODES=8`: a word that only a program writes like this. */
const codeWords: Naming = (document, known) =>
  document.spans
    .flatMap((mark) => words(mark, CODE_WORD))
    .filter(({ text }) => !/^[A-Z][A-Z]/.test(text) || !known.variables.has(text))
    // the checks for these look closer
    .filter(({ text }) => !text.startsWith('IRONSWARM_') && !known.errors.has(text))
    .filter(({ text }) => !known.words.has(text) && !known.foreign.has(text))
    .map(said(document))

/** What a page may name, as a sentence that a test says. */
export const NAMINGS: Readonly<Record<string, Naming>> = {
  'paths from the root': paths,
  'files and folders by a part of their path': places,
  'pages and headings by a link': links,
  'kernel parameters': parameters,
  'environment variables': variables,
  'error types': errors,
  'commands of ironswarm with their flags': commandLines,
  'programs of this checkout, and none that npx would fetch': strangers,
  'flags by themselves': flags,
  'make targets and their variables': targets,
  'words of the code': codeWords,
}

/** A file that a comment names, by a part of its path. */
const FILE = /(?<![\w./*{}-])(?:[a-z0-9-]+\/)*[a-z0-9-]+(?:\.[a-z]+)?\.(?:ts|md)\b/g

/** The files that a source's comments name and that are not there, as `file:line: name`. */
export function strayFilesOf(path: string, text: string, files: readonly string[]): string[] {
  return [...readSource(text).comments]
    .flatMap(([at, comment]) =>
      [...comment.matchAll(FILE)].map((match) => ({ name: match[0], at: at + match.index })),
    )
    .filter(({ name }) => !files.some((file) => `/${file}`.endsWith(`/${name}`)))
    .map(({ name, at }) => `${path}:${text.slice(0, at).split('\n').length}: ${name}`)
}

/** The anchors of a page. */
export function anchorsOf(document: Document): ReadonlySet<string> {
  return new Set(document.headings.map(({ text }) => anchorOf(text)))
}

function found(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([name]) => name)
}

function words({ text, line }: Mark, pattern: RegExp): Mark[] {
  return found(text, pattern).map((name) => ({ text: name, line }))
}

function said({ path }: Document): (mark: Mark) => string {
  return ({ text, line }) => `${path}:${line}: ${text}`
}
