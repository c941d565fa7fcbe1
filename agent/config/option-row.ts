// SPDX-License-Identifier: Apache-2.0
// Owns the shape of a row of the option table, and the makers of rows by their type. Knows no option.

/** `bool` accepts oslo's words, `list` splits at commas, `bytes` takes binary suffixes, `seconds` and `number` may have decimals. */
export type OptionType =
  | 'string'
  | 'int'
  | 'number'
  | 'seconds'
  | 'bool'
  | 'list'
  | 'bytes'
  | 'enum'

export interface OptionRow {
  readonly type: OptionType
  readonly default: string | number | boolean | readonly string[] | null
  readonly doc: string
  /** Kernel parameter; absent where IPA has none (contract 1.3). */
  readonly karg?: string
  /** INI section of IPA's files; `DEFAULT` unless given. */
  readonly section?: string
  /** Its name in that section, where that is another. */
  readonly key?: string
  readonly values?: readonly string[]
  readonly min?: number
  readonly max?: number
  /** The value is struck out in `ironswarm config` and in logs. */
  readonly secret?: true
  /** Only ironswarm knows it. */
  readonly own?: true
  /** IPA's and accepted, but nothing here acts on it: setting it gives a warning. */
  readonly noEffect?: true
  /** What a string or each item of a list must look like, and the words that say so. */
  readonly pattern?: RegExp
  readonly patternDoc?: string
  /** `section.key` this option had in older files. */
  readonly formerly?: string
}

/** What a row may say besides; the spread of a wider type would widen `type` and `default`. */
type Extra = Omit<OptionRow, 'type' | 'default' | 'doc' | 'values'>

export const string = (doc: string, row: Extra = {}) =>
  ({ type: 'string', default: null, doc, ...row }) as const
export const path = (fallback: string, doc: string, row: Extra = {}) =>
  ({ type: 'string', default: fallback, doc, ...row }) as const
export const int = (fallback: number, doc: string, row: Extra = {}) =>
  ({ type: 'int', default: fallback, doc, ...row }) as const
export const seconds = (fallback: number, doc: string, row: Extra = {}) =>
  ({ type: 'seconds', default: fallback, min: 0, doc, ...row }) as const
export const bool = (fallback: boolean, doc: string, row: Extra = {}) =>
  ({ type: 'bool', default: fallback, doc, ...row }) as const
export const list = (fallback: readonly string[], doc: string, row: Extra = {}) =>
  ({ type: 'list', default: fallback, doc, ...row }) as const
export const bytes = (fallback: number, doc: string, row: Extra = {}) =>
  ({ type: 'bytes', default: fallback, min: 0, doc, ...row }) as const
