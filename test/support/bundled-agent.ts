// SPDX-License-Identifier: Apache-2.0
// Owns the agent as the ramdisk carries it, in a folder: one file for the program and for each of its
// threads, without node_modules beside them. Does not run it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { addAgent } from '../../image-build/ramdisk/agent-bundle.ts'
import { createTree } from '../../image-build/ramdisk/tree.ts'

export interface BundledAgent extends AsyncDisposable {
  /** @param name of the source file, without folder and ending */
  fileOf(name: string): URL
}

export async function bundleAgent(): Promise<BundledAgent> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-bundle-'))
  const tree = createTree()
  await addAgent(tree, resolve(import.meta.dirname, '../..'))
  for (const [path, node] of tree.entries()) {
    if (node.kind === 'file') await writeFile(join(folder, basename(path)), node.source)
  }
  return {
    fileOf: (name) => pathToFileURL(join(folder, `${name}.mjs`)),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
