import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  createImageTree,
  resolvePath,
  writeWhole,
} from '../../../../agent/disk/instance-kernel/image-tree.ts'
import { memorySource } from '../../../support/instance-kernel/memory-disk.ts'

const FILES = {
  '/boot/vmlinuz-1': 'kernel',
  '/boot/vmlinuz': '-> vmlinuz-1',
  '/vmlinuz': '-> boot/vmlinuz',
  '/absolute': '-> /boot/vmlinuz',
  '/etc/alternatives/kernel': '-> /boot/vmlinuz',
  '/out': '-> ../../../etc/passwd',
  '/etc/passwd': "the image's own",
  '/b': '-> /boot',
  '/self': '-> self',
  '/one': '-> two',
  '/two': '-> one',
  '/dangling': '-> nothing/here',
}
const tree = createImageTree(memorySource(FILES))

describe('a path in the image', () => {
  test.each([
    ['/boot/vmlinuz-1', 'kernel'],
    ['/boot/vmlinuz', 'kernel'],
    ['/vmlinuz', 'kernel'],
    ['/absolute', 'kernel'],
    ['/etc/alternatives/kernel', 'kernel'],
    ['//b/./../b/vmlinuz', 'kernel'],
    ['/../../boot/../vmlinuz', 'kernel'],
    ['/out', "the image's own"],
    ['/self', undefined],
    ['/one', undefined],
    ['/dangling', undefined],
    ['/boot/vmlinuz/..', undefined],
    ['/boot/vmlinuz/x', undefined],
    ['/boot', undefined],
    ['/__proto__', undefined],
    [`/${'a/'.repeat(3000)}`, undefined],
  ])('%s', async (path, text) => {
    expect(await tree.readText(path, 100)).toBe(text)
  })

  test('is a folder, whose names are sorted', async () => {
    expect(await tree.kindOf('/b/')).toBe('folder')
    expect(await tree.list('/b')).toEqual(['vmlinuz', 'vmlinuz-1'])
    expect(await tree.list('/vmlinuz')).toEqual([])
  })

  test('is refused where there is more than is read', async () => {
    await expect(tree.readText('/vmlinuz', 5)).rejects.toThrow(/has 6 B, more than the 5 B/)
  })
})

test('no links of an image lead out of it', async () => {
  const step = fc.constantFrom('..', '.', 'a', 'b', 'c', '')
  const path = fc.array(step, { maxLength: 8 }).map((steps) => steps.join('/'))
  const target = fc.tuple(fc.constantFrom('', '/'), path).map((parts) => parts.join(''))
  await fc.assert(
    fc.asyncProperty(fc.dictionary(path, target), path, async (links, asked) => {
      const looked: string[] = []
      await resolvePath(asked, {
        look: async (at) => {
          looked.push(at)
          const to = links[at.slice(1)]
          return to === undefined ? { kind: 'folder' } : { kind: 'link', target: to }
        },
      })
      for (const at of looked) expect(at).toMatch(/^\/(?!.*(^|\/)\.{0,2}(\/|$))/)
    }),
  )
})

/** A file that takes so many bytes at once, and no more in all than it has room for. */
function narrowFile(atOnce: number, room: number) {
  const taken = new Map<number, number>()
  const write = async (bytes: Uint8Array, from: number, length: number, position: number) => {
    const bytesWritten = Math.min(atOnce, length, room - taken.size)
    for (let at = 0; at < bytesWritten; at++) taken.set(position + at, bytes[from + at] ?? 0)
    return { bytesWritten, buffer: bytes }
  }
  return { taken, target: { write } as unknown as Parameters<typeof writeWhole>[0] }
}

test('a copy goes on where the system took a part of it, and fails where it takes no more', async () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, at) => at)
  const wide = narrowFile(7, 100)
  await writeWhole(wide.target, bytes, 50)
  expect([...wide.taken]).toEqual([...bytes].map((byte) => [50 + byte, byte]))
  await expect(writeWhole(narrowFile(7, 99).target, bytes, 0)).rejects.toThrow(/takes no more/)
})
