// SPDX-License-Identifier: Apache-2.0
// Owns making squashfs images of trees, and keeping them: compressing Node takes most of a build, and it
// changes rarely.
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../run.ts'
import { hashTree, type Tree, writeTree } from './tree.ts'

export interface SquashfsOptions {
  /** zstd's level: 19 for what is given away, 3 for trying things out. */
  readonly level: number
  /** Bytes compressed together: more are smaller on disk and slower to read a page of. */
  readonly blockBytes: number
}

const TIMEOUT_MS = 1_800_000

/** The path of an image of `tree` in `cache`; made if it is not there yet. */
export async function makeSquashfs(
  tree: Tree,
  cache: string,
  options: SquashfsOptions,
): Promise<string> {
  const { level, blockBytes } = options
  const path = join(
    cache,
    `${(await hashTree(tree)).slice(0, 32)}-zstd${level}-${blockBytes}.squashfs`,
  )
  if (existsSync(path)) return path
  const partial = `${path}.${process.pid}`
  const folder = `${partial}.tree`
  await mkdir(cache, { recursive: true })
  try {
    await writeTree(tree, folder)
    // file and image times come from SOURCE_DATE_EPOCH, which run() sets
    await run(
      // biome-ignore format: one flag and its value per pair
      ['mksquashfs', folder, partial, '-noappend', '-no-progress', '-quiet', '-no-xattrs', '-no-exports',
        '-all-root', '-reproducible', '-comp', 'zstd', '-Xcompression-level', String(level),
        '-b', String(blockBytes)],
      { timeoutMs: TIMEOUT_MS },
    )
    await rename(partial, path)
  } finally {
    await rm(folder, { recursive: true, force: true })
    await rm(partial, { force: true })
  }
  return path
}
