// SPDX-License-Identifier: Apache-2.0
// Owns a FAT file system of the image as a tree: read with mtools where it lies, no case in its names, no links in it.
import type { Exec } from '../../system/exec.ts'
import { createFatReader } from '../mtools.ts'
import { cannotFollow } from './boot-entry.ts'
import { type TreeSource, writeWhole } from './image-tree.ts'

/** @param offset of the file system on the whole disk, bytes. Throws ProcessError for one that cannot be read. */
export async function openFatTree(
  exec: Exec,
  devicePath: string,
  offset: number,
  signal: AbortSignal,
): Promise<TreeSource> {
  const reader = createFatReader(exec, devicePath, offset)
  const { files, folders } = indexOf(await reader.listFiles(signal))
  const bytesOf = (path: string, outer: AbortSignal) =>
    reader.readBytes(files.get(keyOf(path)) ?? path.slice(1), outer)
  return {
    look: async (path) => {
      if (files.has(keyOf(path))) return { kind: 'file', sizeBytes: 0 }
      return folders.has(keyOf(path)) ? { kind: 'folder' } : undefined
    },
    list: async (path, most) => [...(folders.get(keyOf(path))?.values() ?? [])].slice(0, most),
    read: async (path, maxBytes) => {
      const parts: Uint8Array[] = []
      for await (const { bytes } of upTo(maxBytes, path, bytesOf(path, signal))) parts.push(bytes)
      return Buffer.concat(parts)
    },
    copy: async (path, target, position, maxBytes, outer) => {
      let length = 0
      // the next bytes are asked for when these are written
      for await (const { bytes, at } of upTo(maxBytes, path, bytesOf(path, outer))) {
        await writeWhole(target, bytes, position + at)
        length = at + bytes.length
      }
      return length
    },
  }
}

/** Paths as they are written, by their keys: of files, and of what lies in a folder. */
function indexOf(paths: readonly string[]) {
  const files = new Map<string, string>()
  const folders = new Map<string, Map<string, string>>([['', new Map()]])
  for (const path of paths) {
    const steps = path.split('/')
    files.set(path.toLowerCase(), path)
    for (let depth = steps.length - 1; depth >= 0; depth--) {
      const above = steps.slice(0, depth).join('/').toLowerCase()
      const names = folders.get(above) ?? new Map<string, string>()
      names.set((steps[depth] ?? '').toLowerCase(), steps[depth] ?? '')
      folders.set(above, names)
    }
  }
  return { files, folders }
}

/** No case, and no slash in front. */
function keyOf(path: string): string {
  return path.slice(1).toLowerCase()
}

/** Each part with its place in the file, whose length is known when it has come. Throws InvalidImage beyond `maxBytes`. */
async function* upTo(maxBytes: number, path: string, all: AsyncIterable<Uint8Array>) {
  let at = 0
  for await (const bytes of all) {
    if (at + bytes.length > maxBytes) {
      throw cannotFollow(`${path} has more than ${maxBytes} bytes`)
    }
    yield { bytes, at }
    at += bytes.length
  }
}
