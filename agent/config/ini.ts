// SPDX-License-Identifier: Apache-2.0
// Owns reading INI files the way oslo.config does. The `ini` package reads another dialect: it cuts
// values at `;` and `#` (passwords!), splits sections at dots, turns words into booleans and knows no
// continuation lines. Does not know options.

export interface IniEntry {
  /** As written; `DEFAULT` before the first header. */
  readonly section: string
  readonly key: string
  readonly value: string
  /** 1-based line of the key. */
  readonly line: number
}

/** A line that is neither comment, header, `key = value` nor a continuation. */
export interface IniProblem {
  readonly line: number
  readonly text: string
}

/**
 * The entries of an oslo.config file in file order: `#` and `;` comment whole lines only, `=` or `:` whichever
 * comes first separates, indented lines continue the value, one pair of quotes around its first line is removed.
 * Besides what oslo.config takes: keys before any section are DEFAULT's, and a comment may be indented.
 */
export function parseIni(text: string): { entries: IniEntry[]; problems: IniProblem[] } {
  const entries: IniEntry[] = []
  const problems: IniProblem[] = []
  let section = 'DEFAULT'
  // whether an indented line here continues a value
  let isInEntry = false
  for (const [index, raw] of text.split(/\r\n|\n|\r/).entries()) {
    const line = index + 1
    const last = entries.at(-1)
    const header = /^\[(.+)\]\s*$/.exec(raw)
    if (/^[ \t]/.test(raw) && raw.trim() !== '' && isInEntry && last) {
      entries[entries.length - 1] = { ...last, value: `${last.value}\n${raw.trim()}` }
      continue
    }
    isInEntry = false
    if (raw.trim() === '' || /^[ \t]*[#;]/.test(raw)) continue
    if (header) {
      section = header[1] as string
      continue
    }
    const entry = /^[ \t]/.test(raw) ? undefined : parseEntry(raw, section, line)
    if (entry) entries.push(entry)
    else problems.push({ line, text: raw.trim() })
    isInEntry = entry !== undefined
  }
  return { entries, problems }
}

function parseEntry(raw: string, section: string, line: number): IniEntry | undefined {
  const at = raw.search(/[=:]/)
  const key = raw.slice(0, Math.max(at, 0)).trim()
  if (key === '' || raw.startsWith('[')) return undefined
  return { section, key, value: unquote(raw.slice(at + 1).trim()), line }
}

function unquote(value: string): string {
  const quote = value[0]
  const isQuoted = (quote === '"' || quote === "'") && value.endsWith(quote)
  return isQuoted ? value.slice(1, -1) : value
}
