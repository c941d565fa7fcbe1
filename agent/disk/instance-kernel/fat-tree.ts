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
  const files = new Map<string, string>()
  const folders = new Map<string, Map<string, string>>([['', new Map()]])
  for (const path of await reader.listFiles(signal)) {
    const steps = path.split('/')
    files.set(path.toLowerCase(), path)
    for (let depth = steps.length - 1; depth >= 0; depth--) {
      const above = steps.slice(0, depth).join('/').toLowerCase()
      const names = folders.get(above) ?? new Map<string, string>()
      names.set((steps[depth] ?? '').toLowerCase(), steps[depth] ?? '')
      folders.set(above, names)
    }
  }
  const keyOf = (path: string) => path.slice(1).toLowerCase()
  /** Its length is known when it has come. */
  const stream = async (
    path: string,
    maxBytes: number,
    take: (bytes: Uint8Array, position: number) => Promise<void> | void,
    outer: AbortSignal,
  ) => {
    let length = 0
    for await (const bytes of reader.readBytes(files.get(keyOf(path)) ?? path.slice(1), outer)) {
      if (length + bytes.length > maxBytes) {
        throw cannotFollow(`${path} has more than ${maxBytes} bytes`)
      }
      await take(bytes, length)
      length += bytes.length
    }
    return length
  }
  return {
    look: async (path) => {
      if (files.has(keyOf(path))) return { kind: 'file', sizeBytes: 0 }
      return folders.has(keyOf(path)) ? { kind: 'folder' } : undefined
    },
    list: async (path, most) => [...(folders.get(keyOf(path))?.values() ?? [])].slice(0, most),
    read: async (path, maxBytes) => {
      const parts: Uint8Array[] = []
      const take = (bytes: Uint8Array) => void parts.push(bytes)
      await stream(path, maxBytes, take, signal)
      return Buffer.concat(parts)
    },
    // the next bytes are asked for when these are written
    copy: async (path, target, position, maxBytes, outer) =>
      await stream(path, maxBytes, (bytes, at) => writeWhole(target, bytes, position + at), outer),
  }
}
