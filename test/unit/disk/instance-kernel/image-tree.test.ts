import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createImageTree, resolvePath } from '../../../../agent/disk/instance-kernel/image-tree.ts'
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
