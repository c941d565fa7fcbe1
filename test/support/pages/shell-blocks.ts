// SPDX-License-Identifier: Apache-2.0
// Owns the blocks of commands (```sh) that stand on a page. Does not run them: pages-lab.ts does.

export interface ShellBlock {
  /** Of its first command. */
  readonly line: number
  readonly script: string
}

/** In their order; a block within a list is indented, its script is not. */
export function shellBlocksOf(page: string): ShellBlock[] {
  const blocks: ShellBlock[] = []
  let open: { line: number; indent: number; rows: string[] } | undefined
  for (const [at, row] of page.split('\n').entries()) {
    const fence = /^(\s*)```(\w*)/.exec(row)
    if (fence && open) {
      blocks.push({ line: open.line, script: open.rows.join('\n') })
      open = undefined
    } else if (fence?.[2] === 'sh') {
      open = { line: at + 2, indent: (fence[1] as string).length, rows: [] }
    } else open?.rows.push(row.slice(open.indent))
  }
  return blocks
}
