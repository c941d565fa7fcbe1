// SPDX-License-Identifier: Apache-2.0
// Owns a file tree in the making: who lies where with which mode, whatever the build machine's umask,
// user or clock. Writes it to a folder, as mksquashfs wants it. Does not choose what goes in.
import { createHash } from 'node:crypto'
import {
  chmod,
  copyFile,
  lutimes,
  mkdir,
  readFile,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { IMAGE_EPOCH_SECONDS } from '../run.ts'

export type TreeNode =
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'file'; readonly mode: number; readonly source: string | Uint8Array }

export interface Tree {
  /** Path without a leading slash; a later node of the same path replaces the earlier one. */
  add(path: string, node: TreeNode): void
  has(path: string): boolean
  /** Sorted by path, folders before what lies in them. */
  entries(): [string, TreeNode][]
}

/** A file of this content: bytes, or the path of a file on the build machine. */
export const fileNode = (source: string | Uint8Array, mode = 0o644): TreeNode => ({
  kind: 'file',
  mode,
  source,
})
export const linkNode = (target: string): TreeNode => ({ kind: 'link', target })
export const directoryNode = (mode = 0o755): TreeNode => ({ kind: 'directory', mode })

export function createTree(): Tree {
  const nodes = new Map<string, TreeNode>()
  const ensureFolder = (path: string): void => {
    if (path === '.' || nodes.has(path)) return
    ensureFolder(dirname(path))
    nodes.set(path, directoryNode())
  }
  return {
    add: (path, node) => {
      ensureFolder(dirname(path))
      nodes.set(path, node)
    },
    has: (path) => nodes.has(path),
    entries: () => [...nodes].sort(([a], [b]) => (sortKey(a) < sortKey(b) ? -1 : 1)),
  }
}

/** `/` sorts before every other character, so that a folder's content follows the folder. */
function sortKey(path: string): string {
  return path.replaceAll('/', '\0')
}

/** A hash over paths, modes and contents: the same tree, the same hash. */
export async function hashTree(tree: Tree): Promise<string> {
  const hash = createHash('sha256')
  for (const [path, node] of tree.entries()) {
    hash.update(`${path}\0${node.kind}\0`)
    if (node.kind === 'link') hash.update(node.target)
    else hash.update(node.mode.toString(8))
    if (node.kind === 'file') hash.update(await contentHash(node.source))
  }
  return hash.digest('hex')
}

async function contentHash(source: string | Uint8Array): Promise<Buffer> {
  const bytes = typeof source === 'string' ? await readFile(source) : source
  return createHash('sha256').update(bytes).digest()
}

/** Writes the tree below `folder`, which must be empty, with the image's clock on everything. */
export async function writeTree(tree: Tree, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const entries = tree.entries()
  for (const [path, node] of entries) await writeNode(join(folder, path), node)
  // from the leaves up: writing into a folder changes its time
  for (const [path, node] of entries.reverse()) await setTime(join(folder, path), node)
  await utimes(folder, IMAGE_EPOCH_SECONDS, IMAGE_EPOCH_SECONDS)
}

async function writeNode(path: string, node: TreeNode): Promise<void> {
  if (node.kind === 'link') return await symlink(node.target, path)
  if (node.kind === 'directory') await mkdir(path, { recursive: true })
  else if (typeof node.source === 'string') await copyFile(node.source, path)
  else await writeFile(path, node.source)
  // not by the mode argument: the umask would take bits away
  await chmod(path, node.mode)
}

async function setTime(path: string, node: TreeNode): Promise<void> {
  const set = node.kind === 'link' ? lutimes : utimes
  await set(path, IMAGE_EPOCH_SECONDS, IMAGE_EPOCH_SECONDS)
}
