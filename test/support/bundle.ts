// SPDX-License-Identifier: Apache-2.0
// Owns the agent's bundle on this machine: what the ramdisk's builder makes of the sources, in a folder
// without node_modules beside or above it. Does not start it; under-test.ts does.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addAgent } from '../../image-build/ramdisk/agent-bundle.ts'
import { createTree, writeTree } from '../../image-build/ramdisk/tree.ts'

const PROJECT = join(import.meta.dirname, '../..')

export interface Bundle extends AsyncDisposable {
  /** A tree that begins at the ramdisk's root. */
  readonly folder: string
}

/** The bundle of the sources as they are; removed at the end. */
export async function createBundle(): Promise<Bundle> {
  const tree = createTree()
  await addAgent(tree, PROJECT)
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-bundle-'))
  await writeTree(tree, folder)
  return {
    folder,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
