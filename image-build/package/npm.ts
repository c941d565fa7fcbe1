// SPDX-License-Identifier: Apache-2.0
// Owns what `npm pack` packs besides the command of the checkout: the same files as in the Debian package, in places that
// the project's own manifest names. It names no dependency, so that installing it needs no registry. Does not pack.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createTree, fileNode, type TreeNode, writeTree } from '../ramdisk/tree.ts'
import type { PackageTree } from './package-tree.ts'

/** Where a file of the tree lies in the package; the rest stays out. */
const PLACES: readonly [from: string, to: string][] = [
  ['usr/lib/ironswarm/', ''],
  ['usr/bin/', 'bin/'],
  ['usr/share/man/man1/', 'man/'],
  ['usr/share/man/man5/', 'man/'],
  ['usr/lib/systemd/system/', 'systemd/'],
  ['usr/share/bash-completion/completions/', 'completions/bash/'],
  ['usr/share/zsh/vendor-completions/', 'completions/zsh/'],
]

/** Writes them anew below `build`, as `npm`, and returns that path. */
export async function makeNpmFiles(content: PackageTree, build: string): Promise<string> {
  const path = join(build, 'npm')
  const tree = createTree()
  for (const [from, node] of content.tree.entries()) {
    const place = placeOf(from, node)
    if (place !== undefined) tree.add(place, node)
  }
  tree.add('THIRD-PARTY-LICENSES', fileNode(Buffer.from(content.copyright)))
  await rm(path, { recursive: true, force: true })
  await writeTree(tree, path)
  return path
}

function placeOf(path: string, node: TreeNode): string | undefined {
  if (node.kind !== 'file') return undefined
  const row = PLACES.find(([from]) => path.startsWith(from))
  return row && `${row[1]}${path.slice(row[0].length)}`
}
