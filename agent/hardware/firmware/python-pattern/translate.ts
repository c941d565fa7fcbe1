// SPDX-License-Identifier: Apache-2.0
// Owns the translation of a pattern of Python's re into one of JavaScript that matches the same texts: operators wrote
// theirs for ironic-python-agent. What has no meaning here is refused, never guessed. Runs no pattern.
import {
  characterClass,
  escapedCharacter,
  literal,
  octalCharacter,
  setsOf,
  shorthand,
} from './characters.ts'
import { createScanner, type Scanner } from './scanner.ts'

/** With these the result must be compiled: without case, as ironic-python-agent does (contract 7.3). */
export const PATTERN_FLAGS = 'iv'

/** Parentheses inside of each other. */
const DEEPEST = 50

interface Flags {
  readonly isAscii: boolean
  readonly isMultiline: boolean
  readonly dotTakesAll: boolean
  readonly isVerbose: boolean
}

interface State {
  readonly scanner: Scanner
  /** Numbers of named groups. */
  readonly names: Map<string, number>
  groups: number
  atomics: number
  depth: number
  /** Groups whose closing parenthesis has not come. */
  readonly open: Set<number>
  /** Of each look-behind around this place, the first number of a group inside of it. */
  readonly lookBehinds: number[]
}

/** A piece of the result, and the groups that have matched for sure wherever it has. */
interface Piece {
  readonly source: string
  readonly sure: ReadonlySet<number>
}

const ANYTHING = '[\\s\\S]'
const START = `(?<!${ANYTHING})`
const END = `(?!${ANYTHING})`
const NOTHING: Piece = { source: '', sure: new Set() }

/**
 * A source for `new RegExp(source, PATTERN_FLAGS)`. Every group has a name, so that its number does not matter.
 * @throws PatternError for what Python refuses; conditionals, names of characters and bytes have no meaning here
 */
export function translatePattern(text: string): string {
  const scanner = createScanner(text)
  const state: State = {
    scanner,
    names: new Map(),
    groups: 0,
    atomics: 0,
    depth: 0,
    open: new Set(),
    lookBehinds: [],
  }
  let flags: Flags = { isAscii: false, isMultiline: false, dotTakesAll: false, isVerbose: false }
  for (let found = globalFlags(scanner); found !== undefined; found = globalFlags(scanner)) {
    flags = withFlags(scanner, flags, found, true)
  }
  const { source } = alternatives(state, flags, NOTHING.sure)
  if (scanner.peek() !== '') scanner.fail('a ) closes nothing')
  return source
}

function globalFlags(scanner: Scanner): string | undefined {
  return scanner.match(/\(\?([aiLmsux]+)\)/)?.[1]
}

/** Case never matters, so that `i` changes nothing. */
function withFlags(scanner: Scanner, flags: Flags, letters: string, on: boolean): Flags {
  if (letters.includes('L')) scanner.fail('the flag L is for bytes; patterns here are text')
  const is = (letter: string, before: boolean) => (letters.includes(letter) ? on : before)
  return {
    isAscii: is('a', flags.isAscii) && !letters.includes('u'),
    isMultiline: is('m', flags.isMultiline),
    dotTakesAll: is('s', flags.dotTakesAll),
    isVerbose: is('x', flags.isVerbose),
  }
}

/** Up to a closing parenthesis or the end. @param before groups that have matched where this begins */
function alternatives(state: State, flags: Flags, before: ReadonlySet<number>): Piece {
  state.depth++
  if (state.depth > DEEPEST)
    state.scanner.fail(`more than ${DEEPEST} parentheses inside of each other`)
  const branches = [sequence(state, flags, before)]
  while (state.scanner.take('|')) branches.push(sequence(state, flags, before))
  state.depth--
  const [first, ...others] = branches.map(({ sure }) => sure)
  const sure = [...(first ?? [])].filter((group) => others.every((other) => other.has(group)))
  return { source: branches.map(({ source }) => source).join('|'), sure: new Set(sure) }
}

function sequence(state: State, flags: Flags, before: ReadonlySet<number>): Piece {
  const { scanner } = state
  let source = ''
  const sure = new Set<number>()
  for (;;) {
    skipComments(scanner, flags)
    const character = scanner.peek()
    if (character === '' || character === '|' || character === ')') return { source, sure }
    const piece = repeated(state, flags, new Set([...before, ...sure]))
    source += piece.source
    for (const group of piece.sure) sure.add(group)
  }
}

/** A repetition counts for what stands before them. */
function skipComments(scanner: Scanner, { isVerbose }: Flags): void {
  const comment = isVerbose ? /\s+|#[^\n]*|\(\?#[^)]*\)/ : /\(\?#[^)]*\)/
  while (scanner.match(comment) !== undefined);
}

/** An atom with what says how often it comes. */
function repeated(state: State, flags: Flags, before: ReadonlySet<number>): Piece {
  const { scanner } = state
  if (quantifier(scanner) !== undefined) return scanner.fail('nothing to repeat')
  const { piece, isPlace } = atom(state, flags, before)
  skipComments(scanner, flags)
  const count = quantifier(scanner)
  if (count === undefined) return piece
  if (isPlace) return scanner.fail('nothing to repeat')
  const isLazy = scanner.take('?')
  const isPossessive = !isLazy && scanner.take('+')
  if (quantifier(scanner) !== undefined) return scanner.fail('a repetition of a repetition')
  const source = `(?:${piece.source})${count.text}${isLazy ? '?' : ''}`
  const sure = count.least > 0 ? piece.sure : NOTHING.sure
  return { source: isPossessive ? atomic(state, source) : source, sure }
}

/** `{` that begins no repetition is a character. */
function quantifier(
  scanner: Scanner,
): { readonly text: string; readonly least: number } | undefined {
  const found = scanner.match(/[*+?]|\{(?:(\d+)(?:(,)(\d*))?|,(\d*))\}/)
  if (found === undefined) return undefined
  const [text, low, comma, high, most] = found
  if (text === '*' || text === '?') return { text, least: 0 }
  if (text === '+') return { text, least: 1 }
  const least = Number(low ?? 0)
  const limit = low === undefined ? most : comma === undefined ? low : high
  if (limit !== undefined && limit !== '' && Number(limit) < least) {
    return scanner.fail('a repetition whose most is less than its least')
  }
  return { text: `{${least},${limit ?? ''}}`, least }
}

/** Once it has matched it is not taken back: a look-ahead, and then the text that it found. */
function atomic(state: State, source: string): string {
  const name = `a${++state.atomics}`
  return `(?:(?=(?<${name}>${source}))\\k<${name}>)`
}

interface Atom {
  readonly piece: Piece
  /** It is a place in the text, which cannot come more often than once. */
  readonly isPlace?: boolean
}

const plain = (source: string): Atom => ({ piece: { source, sure: NOTHING.sure } })
const place = (source: string): Atom => ({ ...plain(source), isPlace: true })

function atom(state: State, flags: Flags, before: ReadonlySet<number>): Atom {
  const { scanner } = state
  const character = scanner.next()
  if (character === '.') return plain(flags.dotTakesAll ? ANYTHING : '[^\\n]')
  if (character === '^') return place(flags.isMultiline ? '(?<![^\\n])' : START)
  if (character === '$') return place(flags.isMultiline ? `(?=\\n|${END})` : `(?=\\n?${END})`)
  if (character === '[') return plain(characterClass(scanner, setsOf(flags.isAscii)))
  if (character === '(') return { piece: group(state, flags, before) }
  if (character === '\\') return escaped(state, flags, before)
  return plain(literal(character.codePointAt(0) as number))
}

function escaped(state: State, flags: Flags, before: ReadonlySet<number>): Atom {
  const { scanner } = state
  const octal = scanner.match(/0[0-7]{0,2}|[1-3][0-7]{2}/)?.[0]
  if (octal !== undefined) return plain(literal(octalCharacter(scanner, octal)))
  const number = scanner.match(/[1-9][0-9]?/)?.[0]
  if (number !== undefined) return plain(reference(state, Number(number), before))
  const letter = scanner.next()
  const sets = setsOf(flags.isAscii)
  const word = `[${sets.w}]`
  const [starts, ends] = [`(?<!${word})(?=${word})`, `(?<=${word})(?!${word})`]
  if (letter === 'A') return place(START)
  if (letter === 'Z' || letter === 'z') return place(END)
  if (letter === 'b') return place(`(?:${starts}|${ends})`)
  if (letter === 'B') return place(`(?!${starts}|${ends})`)
  return plain(shorthand(letter, sets) ?? literal(escapedCharacter(scanner, letter)))
}

/** Python fails to match the text of a group that has matched nothing; JavaScript takes it for empty. */
function reference(state: State, number: number, before: ReadonlySet<number>): string {
  const { scanner, lookBehinds } = state
  if (number < 1 || number > state.groups)
    return scanner.fail(`there is no group ${number} before it`)
  if (state.open.has(number)) return scanner.fail(`group ${number} is not closed there`)
  if (lookBehinds.some((first) => number >= first)) {
    return scanner.fail(`group ${number} is of the same look-behind`)
  }
  if (!before.has(number)) {
    return scanner.fail(`group ${number} may have matched nothing there, which cannot be told here`)
  }
  return `\\k<g${number}>`
}

function group(state: State, flags: Flags, before: ReadonlySet<number>): Piece {
  const { scanner } = state
  if (!scanner.take('?')) return capture(state, flags, before, undefined)
  if (scanner.take('P<')) {
    const name = scanner.match(/([\p{ID_Start}_]\p{ID_Continue}*)>/u)?.[1]
    if (name === undefined) return scanner.fail('(?P< takes a name and >')
    if (state.names.has(name)) return scanner.fail(`there are two groups called ${name}`)
    return capture(state, flags, before, name)
  }
  if (scanner.take('P=')) {
    const name = scanner.match(/([^)]*)\)/)?.[1] ?? ''
    const number = state.names.get(name)
    if (number === undefined) return scanner.fail(`there is no group called ${name} before it`)
    return { source: reference(state, number, before), sure: NOTHING.sure }
  }
  if (scanner.take('#')) return scanner.fail('a comment is not closed')
  if (scanner.take('>')) {
    const { source, sure } = closed(state, flags, before)
    return { source: atomic(state, source), sure }
  }
  const look = scanner.match(/<?[=!]/)?.[0]
  if (look !== undefined) return lookAround(state, flags, before, look)
  const scoped = scanner.match(/([aiLmsux]*)(?:-([imsx]+))?:/)
  if (scoped === undefined) return scanner.fail('(? with what follows it has no meaning here')
  return scopedGroup(state, flags, before, scoped)
}

/** `(?im-s:…)`; what is on is `(?:…)` with other flags, but for the case, which JavaScript has too. */
function scopedGroup(
  state: State,
  flags: Flags,
  before: ReadonlySet<number>,
  [, on = '', off = '']: readonly (string | undefined)[],
): Piece {
  const { scanner } = state
  const inside = withFlags(scanner, withFlags(scanner, flags, on, true), off, false)
  const { source, sure } = closed(state, inside, before)
  const caseFlag = off.includes('i') ? '-i' : on.includes('i') ? 'i' : ''
  return { source: `(?${caseFlag}:${source})`, sure }
}

function capture(
  state: State,
  flags: Flags,
  before: ReadonlySet<number>,
  name: string | undefined,
): Piece {
  const number = ++state.groups
  if (name !== undefined) state.names.set(name, number)
  state.open.add(number)
  const { source, sure } = closed(state, flags, before)
  state.open.delete(number)
  return { source: `(?<g${number}>${source})`, sure: new Set([...sure, number]) }
}

function lookAround(state: State, flags: Flags, before: ReadonlySet<number>, look: string): Piece {
  const isBehind = look.startsWith('<')
  if (isBehind) state.lookBehinds.push(state.groups + 1)
  const { source, sure } = closed(state, flags, before)
  if (isBehind) state.lookBehinds.pop()
  return {
    source: `(?:(?${look}${source}))`,
    // what a negative one has found is forgotten
    sure: look.endsWith('!') ? NOTHING.sure : sure,
  }
}

/** The inside of a group, with its closing parenthesis. */
function closed(state: State, flags: Flags, before: ReadonlySet<number>): Piece {
  const piece = alternatives(state, flags, before)
  if (!state.scanner.take(')')) state.scanner.fail('a ( is not closed')
  return piece
}
