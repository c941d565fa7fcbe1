// SPDX-License-Identifier: Apache-2.0
// Owns what there is while a menu is followed: variables, functions, the entries so far, what was loaded. Follows
// nothing by itself.

import type { BlsEntry } from '../bls.ts'
import { notUnderstood } from '../boot-entry.ts'
import type { MenuDisk } from './place.ts'
import type { Script } from './script.ts'
import type { Word } from './words.ts'

/** A line of the menu. */
export interface MenuItem {
  readonly title: string
  readonly id: string
  readonly line: number
  /** What stands behind it. */
  readonly behind:
    | { readonly kind: 'entry' | 'submenu'; readonly script: Script }
    | { readonly kind: 'bls'; readonly entry: BlsEntry }
}

/** What `linux` and `initrd` were given. */
export interface Loaded {
  /** Path and arguments. */
  readonly linux: readonly string[]
  /** Where a path without a device lies. */
  readonly root: string
  initrds: readonly string[]
}

export interface Session {
  readonly disk: MenuDisk
  readonly variables: Map<string, string>
  readonly functions: Map<string, Script>
  items: MenuItem[]
  loaded: Loaded | undefined
  /** A file that is followed instead of what comes after. */
  next: { readonly place: string; readonly line: number } | undefined
  /** `boot`, `return` or `configfile`: nothing after it is followed. */
  isOver: boolean
  /** Commands still to be followed before the menu counts as one without an end. */
  steps: number
}

/** Of the values in one command: a kernel line several times over. */
const MOST_CHARACTERS = 8 * 1024
/** A menu of a hundred kernels has a tenth of it. */
const MOST_STEPS = 4000
/** What GRUB 2.06 says that it can do. */
const FEATURES: ReadonlySet<string> = new Set(
  [
    ...['200_final', 'all_video_module', 'chainloader_bpb', 'default_font_path', 'menuentry_id'],
    ...['menuentry_options', 'nativedisk_cmd', 'ntldr', 'platform_search_hint', 'timeout_style'],
  ].map((name) => `feature_${name}`),
)

export function createSession(disk: MenuDisk, firmware: 'uefi' | 'bios'): Session {
  const [platform, cpu] = firmware === 'uefi' ? ['efi', 'x86_64'] : ['pc', 'i386']
  return {
    disk,
    variables: new Map([
      ['grub_platform', platform],
      ['grub_cpu', cpu],
    ]),
    functions: new Map(),
    items: [],
    loaded: undefined,
    next: undefined,
    isOver: false,
    steps: MOST_STEPS,
  }
}

/** A variable's value; empty for one that is not set. */
export function variable(session: Session, name: string): string {
  return session.variables.get(name) ?? (FEATURES.has(name) ? 'y' : '')
}

/** Hands values on until they are too many together, then throws InvalidImage. */
export function boundedValues(line: number): (value: string) => string {
  let room = MOST_CHARACTERS
  return (value) => {
    room -= value.length
    if (room < 0) throw notUnderstood(line, 'the values of a command are too long')
    return value
  }
}

/**
 * The words with their variables' values: one that is not quoted falls into words at white space, or vanishes.
 * @param positional `$0`, `$1` and so on. Throws InvalidImage for a word that grows without bound.
 */
export function expandWords(
  session: Session,
  words: readonly Word[],
  positional: readonly string[],
  line: number,
): string[] {
  const bounded = boundedValues(line)
  const lookUp = (name: string) =>
    bounded(/^\d+$/.test(name) ? (positional[Number(name)] ?? '') : variable(session, name))
  return words.flatMap((word) => expandWord(word, lookUp))
}

function expandWord(word: Word, lookUp: (name: string) => string): string[] {
  const done: string[] = []
  let isGrowing = false
  const append = (text: string) => {
    done.push(isGrowing ? (done.pop() ?? '') + text : text)
    isGrowing = true
  }
  for (const { kind, text, isQuoted } of word) {
    const value = kind === 'text' ? text : lookUp(text)
    if (kind === 'text' || isQuoted) {
      append(value)
      continue
    }
    for (const [at, piece] of value.split(/\s+/).entries()) {
      if (at > 0) isGrowing = false
      if (piece !== '') append(piece)
    }
  }
  return done
}
