// SPDX-License-Identifier: Apache-2.0
// Owns the agent's bundle on this machine: what the ramdisk's builder makes of the sources, once for each
// content, under build/. Does not start it; under-test.ts does.
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { addAgent } from '../../image-build/ramdisk/agent-bundle.ts'
import { createTree, hashTree, writeTree } from '../../image-build/ramdisk/tree.ts'

const PROJECT = join(import.meta.dirname, '../..')
const BUILD = join(PROJECT, 'build/agent-bundle')

/** The folder of the bundle of the sources as they are, as a tree that begins at the ramdisk's root. */
export async function makeBundle(): Promise<string> {
  const tree = createTree()
  await addAgent(tree, PROJECT)
  const folder = join(BUILD, (await hashTree(tree)).slice(0, 16))
  if (existsSync(folder)) return folder
  const partial = `${folder}.${process.pid}`
  try {
    await writeTree(tree, partial)
    await rename(partial, folder)
  } catch (error) {
    // another run has made the same meanwhile
    if (!existsSync(folder)) throw error
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return folder
}
