// SPDX-License-Identifier: Apache-2.0
// Owns paths in a file system of the image: links are followed inside of it, however they are written, and what is read
// is bounded. Does not open file systems.
import type { FileHandle } from 'node:fs/promises'
import { formatBytes } from '../../core/units.ts'
import { cannotFollow } from './boot-entry.ts'

export type TreeNode =
  | { readonly kind: 'file'; readonly sizeBytes: number }
  | { readonly kind: 'folder' | 'other' }
  | { readonly kind: 'link'; readonly target: string }

/** A file system, one step at a time: paths begin with a slash, have no `.` and `..`, and lead through no link. */
export interface TreeSource {
  /** What lies there, a link as itself; undefined for nothing. */
  look(path: string): Promise<TreeNode | undefined>
  /** Names in a folder, at most `most`. */
  list(path: string, most: number): Promise<readonly string[]>
  read(path: string, maxBytes: number): Promise<Uint8Array>
  /** Resolves to the bytes written from `position` on; fails above `maxBytes`. */
  copy(
    path: string,
    target: FileHandle,
    position: number,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<number>
}

export interface ImageTree {
  kindOf(path: string): Promise<'file' | 'folder' | undefined>
  /** Sorted; none where there is no folder. */
  list(path: string): Promise<readonly string[]>
  /** Undefined where there is no file. Throws InvalidImage above `maxBytes`. */
  readText(path: string, maxBytes: number): Promise<string | undefined>
  /** Appends to `target` at `position` and resolves to the length. Throws InvalidImage for no file, or one too large. */
  copy(
    path: string,
    target: FileHandle,
    position: number,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<number>
}

/** As many as Linux follows. */
const MOST_LINKS = 40
const MOST_PATH_CHARACTERS = 4096
const MOST_NAMES = 10_000

export function createImageTree(source: TreeSource): ImageTree {
  const at = (path: string) => resolvePath(path, source)
  return {
    kindOf: async (path) => {
      const kind = (await at(path))?.node.kind
      return kind === 'file' || kind === 'folder' ? kind : undefined
    },
    list: async (path) => {
      const found = await at(path)
      if (found?.node.kind !== 'folder') return []
      return [...(await source.list(found.path, MOST_NAMES))].sort()
    },
    readText: async (path, maxBytes) => {
      const found = await at(path)
      if (found?.node.kind !== 'file') return undefined
      assertSize(path, found.node.sizeBytes, maxBytes)
      return Buffer.from(await source.read(found.path, maxBytes)).toString('utf8')
    },
    copy: async (path, target, position, maxBytes, signal) => {
      const found = await at(path)
      if (found?.node.kind !== 'file') throw cannotFollow(`there is no file ${path}`)
      assertSize(path, found.node.sizeBytes, maxBytes)
      return await source.copy(found.path, target, position, maxBytes, signal)
    },
  }
}

/** All of the bytes, however few the system takes at once: a memory file system that is full takes some. Throws its errors. */
export async function writeWhole(
  target: Pick<FileHandle, 'write'>,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, position + done)
    if (bytesWritten === 0) throw cannotFollow('the copy of the kernel takes no more bytes')
    done += bytesWritten
  }
}

function assertSize(path: string, sizeBytes: number, maxBytes: number): void {
  if (sizeBytes <= maxBytes) return
  throw cannotFollow(
    `${path} has ${formatBytes(sizeBytes)}, more than the ${formatBytes(maxBytes)} that are read`,
  )
}

/**
 * Where the path leads to inside of the tree: absolute links begin at its root, and `..` does not leave it. Undefined for
 * nothing, for a way through a file, and for links without an end.
 */
export async function resolvePath(
  path: string,
  source: Pick<TreeSource, 'look'>,
): Promise<{ readonly path: string; readonly node: TreeNode } | undefined> {
  const way: Way = { ahead: stepsOf(path), done: [], links: 0 }
  let node: TreeNode = { kind: 'folder' }
  for (let step = way.ahead.pop(); step !== undefined; step = way.ahead.pop()) {
    if (node.kind !== 'folder') return undefined
    if (step === '..') {
      way.done.pop()
      continue
    }
    const here = `/${[...way.done, step].join('/')}`
    const found = here.length > MOST_PATH_CHARACTERS ? undefined : await source.look(here)
    if (found === undefined) return undefined
    if (found.kind !== 'link') {
      way.done.push(step)
      node = found
    } else if (!follow(found.target, way)) return undefined
  }
  return { path: `/${way.done.join('/')}`, node }
}

interface Way {
  /** Steps to come, the last one first. */
  readonly ahead: string[]
  readonly done: string[]
  links: number
}

/** False where there were too many. */
function follow(target: string, way: Way): boolean {
  if (++way.links > MOST_LINKS) return false
  if (target.startsWith('/')) way.done.length = 0
  way.ahead.push(...stepsOf(target))
  return way.ahead.length <= MOST_PATH_CHARACTERS
}

/** The last step first. */
function stepsOf(path: string): string[] {
  return path
    .slice(0, MOST_PATH_CHARACTERS + 1)
    .split('/')
    .filter((step) => step !== '' && step !== '.')
    .reverse()
}
