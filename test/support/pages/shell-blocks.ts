// SPDX-License-Identifier: Apache-2.0
// Owns the blocks of commands (```sh) that stand on a page. Does not run them: pages-lab.ts does.

export interface ShellBlock {
  /** Of its first command. */
  readonly line: number
  readonly script: string
}

/** In their order; a block within a list is indented, its script is not. */
export function shellBlocksOf(page: string): ShellBlock[] {
  return [...page.matchAll(/^([ ]*)```sh\n(.*?)^[ ]*```$/gms)].map((match) => {
    const [, indent = '', text = ''] = match
    const rows = text.trimEnd().split('\n')
    return {
      line: page.slice(0, match.index).split('\n').length + 1,
      script: rows.map((row) => row.slice(indent.length)).join('\n'),
    }
  })
}
