// SPDX-License-Identifier: Apache-2.0
// Owns references to other options in the values of INI files, as oslo.config has them: `$name`,
// `${name}`, `${group.name}`, `$$` for a dollar sign. Does not know options.

const REFERENCE = /\$(?:(\$)|([_a-z][._a-z0-9]*)|\{([_a-z][._a-z0-9]*)\})/gi

/**
 * The text with each reference replaced. A dollar sign that begins none stays, and `\$` is `$$`.
 * @param textOf the text in the place of a reference
 */
export function substitute(text: string, textOf: (reference: string) => string): string {
  return text
    .replaceAll('\\$', () => '$$')
    .replaceAll(REFERENCE, (_, dollar?: string, bare?: string, braced?: string) =>
      dollar === undefined ? textOf((bare ?? braced) as string) : '$',
    )
}

/** A value as Python's `str` writes it: that is what oslo.config puts in the place of a reference. */
export function spelled(value: string | number | boolean | readonly string[] | null): string {
  if (value === null) return ''
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'object') return `[${value.map((item) => `'${item}'`).join(', ')}]`
  return String(value)
}
