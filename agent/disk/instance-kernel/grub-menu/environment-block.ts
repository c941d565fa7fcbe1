// SPDX-License-Identifier: Apache-2.0
// Owns the variables of a grubenv file (GRUB manual, "GRUB environment block"). Writes none.

const HEAD = '# GRUB Environment Block\n'
/** GRUB's own files have 1024 bytes. */
export const MOST_GRUBENV_BYTES = 64 * 1024

/** None for a file that is no environment block. A backslash keeps what follows it, a line's end too. */
export function parseEnvironmentBlock(text: string): Map<string, string> {
  const variables = new Map<string, string>()
  if (!text.startsWith(HEAD)) return variables
  for (const [line] of text.slice(HEAD.length).matchAll(/(?:\\[\s\S]|[^\\\n])+/g)) {
    const at = line.indexOf('=')
    if (at <= 0 || line.startsWith('#')) continue
    variables.set(line.slice(0, at), line.slice(at + 1).replaceAll(/\\([\s\S])/g, '$1'))
  }
  return variables
}
