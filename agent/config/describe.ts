// SPDX-License-Identifier: Apache-2.0
// Owns how options are shown: values with their origin for `ironswarm config`, the table of
// docs/configuration.md. Secret values never leave this file.
import { REDACTED } from '../core/redact.ts'
import type { LoadedConfig } from './load.ts'
import { allowedWords, type OptionValue, rowOf } from './option-value.ts'
import { OPTIONS, type OptionName } from './options.ts'

export interface DescribedOption {
  readonly name: OptionName
  /** `***` for a secret that is set. */
  readonly value: OptionValue
  readonly origin: string
}

/** Every option with its value and origin, in the order of the table. */
export function describeConfig({ config, origins }: LoadedConfig): DescribedOption[] {
  return (Object.keys(OPTIONS) as OptionName[]).map((name) => ({
    name,
    value: rowOf(name).secret && config[name] !== null ? REDACTED : config[name],
    origin: origins[name],
  }))
}

/** A value as it would be typed; `-` when nothing is set. */
export function formatValue(value: OptionValue): string {
  if (value === null) return '-'
  if (typeof value === 'object') return value.length === 0 ? '-' : value.join(',')
  return String(value)
}

/** The rows of docs/configuration.md; the document is tested against them. */
export function configurationTable(): string {
  const rows = (Object.keys(OPTIONS) as OptionName[]).map((name) => {
    const row = rowOf(name)
    const place = row.section ? `[${row.section}] ${row.key ?? name}` : name
    const kernel = row.karg ? `\`${row.karg}\`` : '–'
    const fallback = formatValue(row.default)
    const notes = [
      row.doc,
      `Takes ${allowedWords(row)}`,
      ...(row.secret ? ['Secret: no flag, struck out everywhere'] : []),
      ...(row.noEffect ? ['**No effect in this version**'] : []),
    ]
    const shownFallback = fallback === '-' ? '–' : `\`${fallback}\``
    return `| \`${place}\` | ${kernel} | ${shownFallback} | ${notes.join('. ')}. |`
  })
  return ['| option | kernel parameter | default | meaning |', '|---|---|---|---|', ...rows]
    .map((line) => `${line}\n`)
    .join('')
}
