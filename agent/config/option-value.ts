// SPDX-License-Identifier: Apache-2.0
// Owns turning the text of a setting into its typed value, and the sentence that says why it cannot be
// one. Does not know where settings come from beyond the name of the place.
import { AgentError } from '../core/errors.ts'
import { isTruthyWord } from '../core/json.ts'
import { REDACTED } from '../core/redact.ts'
import { parseBytes } from '../core/units.ts'
import type { OptionRow } from './option-row.ts'
import { OPTIONS, type OptionName } from './options.ts'

export type OptionValue = string | number | boolean | readonly string[] | null

/** The text of one setting and where it stands. */
export interface Setting {
  readonly text: string
  /** `kernel command line (ipa-debug)`, `/etc/…/x.conf [DEFAULT]`, `environment IRONSWARM_DEBUG`, `--debug`. */
  readonly origin: string
  /** A boolean that is none is false, as IPA has it for `ipa-debug` on the kernel line; elsewhere it is refused. */
  readonly isLenient?: boolean
  /** References to other options are replaced, as in INI files. */
  readonly isTemplate?: boolean
}

/** The row of an option, widened. */
export function rowOf(name: OptionName): OptionRow {
  return OPTIONS[name]
}

/**
 * The typed value of a setting. An empty text unsets strings and lists.
 * @throws InvalidConfigError that names option, place, value (never a secret one) and what is allowed
 */
export function parseOption(name: OptionName, setting: Setting): OptionValue {
  const row = rowOf(name)
  // blanks around a text may be meant: of a password in quotes
  const text = row.type === 'string' ? setting.text : setting.text.trim()
  const value = PARSERS[row.type](text, row, setting)
  if (value === undefined) throw invalid(name, row, setting)
  return value
}

type Parser = (text: string, row: OptionRow, setting: Setting) => OptionValue | undefined

const PARSERS: Readonly<Record<OptionRow['type'], Parser>> = {
  string: (text, row) => {
    if (text === '') return row.default === null ? null : undefined
    return matches(text, row) ? text : undefined
  },
  enum: (text, row) => row.values?.find((value) => value === text.toLowerCase()),
  list: (text, row) => {
    const items = text
      .split(/[,\n]/)
      .map((item) => item.trim())
      .filter((item) => item !== '')
    return items.every((item) => matches(item, row)) ? items : undefined
  },
  bool: (text, _row, { isLenient }) => {
    if (isTruthyWord(text)) return true
    return isLenient || FALSE_WORDS.has(text.toLowerCase()) ? false : undefined
  },
  int: (text, row) => (/^-?\d+$/.test(text) ? inBounds(Number(text), row) : undefined),
  number: (text, row) => (/^\d+(\.\d+)?$/.test(text) ? inBounds(Number(text), row) : undefined),
  seconds: (text, row) => (/^\d+(\.\d+)?$/.test(text) ? inBounds(Number(text), row) : undefined),
  bytes: (text, row) => inBounds(parseBytes(text), row),
}

const FALSE_WORDS: ReadonlySet<string> = new Set(['0', 'false', 'no', 'off', 'f', 'n'])

function matches(text: string, row: OptionRow): boolean {
  return row.pattern === undefined || row.pattern.test(text)
}

function inBounds(value: number | undefined, { min, max }: OptionRow): number | undefined {
  if (value === undefined || !Number.isSafeInteger(Math.trunc(value))) return undefined
  return value >= (min ?? Number.NEGATIVE_INFINITY) && value <= (max ?? Number.POSITIVE_INFINITY)
    ? value
    : undefined
}

function invalid(name: OptionName, row: OptionRow, { text, origin }: Setting): AgentError {
  const shown = row.secret ? REDACTED : JSON.stringify(text)
  return new AgentError(
    'InvalidConfigError',
    `option ${name} is ${shown} in ${origin}; allowed: ${allowedWords(row)}`,
  )
}

/** What an option takes, in words: `whole number 0-65535`, `one of auto, off, require`. */
export function allowedWords(row: OptionRow): string {
  const bounds =
    row.max === undefined
      ? row.min === undefined
        ? ''
        : ` ≥ ${row.min}`
      : ` ${row.min ?? ''}–${row.max}`
  switch (row.type) {
    case 'bool':
      return 'true, yes, on, 1 or false, no, off, 0'
    case 'int':
      return `a whole number${bounds}`
    case 'number':
      return `a number${bounds}`
    case 'seconds':
      return `seconds${bounds}`
    case 'bytes':
      return 'bytes, for example 4096, 512K, 4M, 2GiB'
    case 'enum':
      return `one of ${(row.values ?? []).join(', ')}`
    case 'list':
      return `a list separated by commas${row.patternDoc ? ` of ${row.patternDoc}` : ''}`
    case 'string':
      return row.patternDoc ?? (row.default === null ? 'text' : 'text that is not empty')
  }
}
