// SPDX-License-Identifier: Apache-2.0
// Owns disks of tests that are an object: partitions with files by their paths, links as `-> target`. Reads them by the
// agent's own paths, as a real file system would be.
import { cannotFollow } from '../../../agent/disk/instance-kernel/boot-entry.ts'
import {
  type ImageDisk,
  type ImagePartition,
  unseenOf,
} from '../../../agent/disk/instance-kernel/image-disk.ts'
import { createImageTree, type TreeSource } from '../../../agent/disk/instance-kernel/image-tree.ts'

export interface MemoryPartition {
  readonly uuid?: string
  readonly label?: string
  /** blkid's name; ext4 unless given. */
  readonly type?: string
  readonly isEsp?: true
  /** By path, text or `-> target`. */
  readonly files?: Readonly<Record<string, string>>
}

const READABLE: ReadonlySet<string> = new Set(['vfat', 'ext4', 'xfs', 'btrfs'])

/** Partition 1 is the first one. */
export function memoryDisk(...given: readonly MemoryPartition[]): ImageDisk {
  const partitions: ImagePartition[] = given.map(({ uuid, label, type, isEsp }, at) => ({
    number: at + 1,
    range: { offset: at * 1024, length: 1024 },
    type: '',
    isEsp: isEsp ?? false,
    uniqueGuid: null,
    name: '',
    fileSystem: { type: type ?? 'ext4', label, uuid },
  }))
  const trees = given.map(({ files }) => createImageTree(memorySource(files ?? {})))
  const treeOf = (number: number) => {
    const tree = trees[number - 1]
    if (tree) return tree
    throw cannotFollow(`there is no partition ${number}`)
  }
  return {
    partitions,
    readable: partitions.filter(({ fileSystem: { type = '' } }) => READABLE.has(type)),
    unseen: unseenOf(partitions, 0),
    search: async (key, value) => {
      for (const { number, fileSystem } of partitions) {
        if (key === 'file' && (await treeOf(number).kindOf(value))) return number
        if (key === 'uuid' && fileSystem.uuid === value) return number
        if (key === 'label' && fileSystem.label === value) return number
      }
      return undefined
    },
    readText: async ({ partition, path }, most) => treeOf(partition).readText(path, most),
    kindOf: async ({ partition, path }) => treeOf(partition).kindOf(path),
    list: async ({ partition, path }) => treeOf(partition).list(path),
    copy: async ({ partition, path }, ...rest) => treeOf(partition).copy(path, ...rest),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

export function memorySource(files: Readonly<Record<string, string>>): TreeSource {
  const paths = Object.keys(files)
  return {
    look: async (path) => {
      const text = Object.hasOwn(files, path) ? files[path] : undefined
      if (text?.startsWith('-> ')) return { kind: 'link', target: text.slice('-> '.length) }
      if (text !== undefined) return { kind: 'file', sizeBytes: text.length }
      return paths.some((each) => each.startsWith(`${path}/`)) ? { kind: 'folder' } : undefined
    },
    list: async (path, most) => {
      const prefix = path === '/' ? '/' : `${path}/`
      const below = paths.filter((each) => each.startsWith(prefix))
      return [...new Set(below.map((each) => each.slice(prefix.length).split('/')[0] ?? ''))].slice(
        0,
        most,
      )
    },
    read: async (path) => Buffer.from(files[path] ?? ''),
    copy: async (path, target, position) => {
      const bytes = Buffer.from(files[path] ?? '')
      await target.write(bytes, 0, bytes.length, position)
      return bytes.length
    },
  }
}
