// SPDX-License-Identifier: Apache-2.0
// Owns how a menu names files, `(hd0,gpt2)/vmlinuz`, and what it may ask of the disk. Does not read the disk.
import { cannotFollow, type ImageFile } from '../boot-entry.ts'

export type SearchKey = 'uuid' | 'label' | 'file'

/** The disk as a menu sees it: its partitions by number, read only. */
export interface MenuDisk {
  /** Number of the first partition that has it; undefined where none has. */
  search(key: SearchKey, value: string): Promise<number | undefined>
  /** Undefined where there is none. Throws InvalidImage for what cannot be read. */
  readText(file: ImageFile, maxBytes: number): Promise<string | undefined>
  kindOf(file: ImageFile): Promise<'file' | 'folder' | undefined>
  /** Names in a folder, sorted; none where there is no folder. */
  list(folder: ImageFile): Promise<readonly string[]>
}

/** GRUB's own names of partitions of the disk it started from, and of those of an array. */
const DEVICE = /^(?:hd0|md\/[\w:.-]+|mduuid\/[\da-f]+),(?:gpt|msdos)?(\d{1,3})$/

/** What `root` is set to for a partition. */
export function deviceOf(partition: number): string {
  return `hd0,gpt${partition}`
}

/** Undefined for a device that is no partition of this disk's table. */
export function partitionOf(device: string): number | undefined {
  const number = DEVICE.exec(device)?.[1]
  return number === undefined ? undefined : Number(number)
}

/** @param root where a path without a device lies. Undefined for what names no file of this disk. */
export function placeOf(text: string, root: string): ImageFile | undefined {
  const match = /^(?:\(([^)]*)\))?(\/.*)$/s.exec(text)
  const partition = partitionOf(match?.[1] || root)
  const path = match?.[2]
  return partition === undefined || path === undefined ? undefined : { partition, path }
}

/** Questions and text of one menu and all that it leads to; a real one has tens of questions. */
const MOST_QUESTIONS = 2000
const MOST_CHARACTERS = 2 * 1024 * 1024

/** The same disk for one menu, which may not ask without end. What it answers then throws InvalidImage. */
export function withLimits(disk: MenuDisk): MenuDisk {
  let questions = 0
  let characters = 0
  const count = () => {
    if (++questions > MOST_QUESTIONS) throw cannotFollow('the menu asks too much of the disk')
  }
  return {
    search: async (...args) => {
      count()
      return await disk.search(...args)
    },
    kindOf: async (file) => {
      count()
      return await disk.kindOf(file)
    },
    list: async (folder) => {
      count()
      return await disk.list(folder)
    },
    readText: async (...args) => {
      count()
      const text = await disk.readText(...args)
      characters += text?.length ?? 0
      if (characters > MOST_CHARACTERS) throw cannotFollow('the menu reads too much of the disk')
      return text
    },
  }
}
