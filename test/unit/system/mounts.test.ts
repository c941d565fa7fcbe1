import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listMounts, listSwaps, parseMountInfo } from '../../../agent/system/mounts.ts'
import { createRoot } from '../../../agent/system/root.ts'

async function createTree(files: Record<string, string>) {
  const path = await mkdtemp(join(tmpdir(), 'ironswarm-root-'))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true })
    await writeFile(join(path, name), text)
  }
  return {
    root: createRoot(path),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

const MOUNTINFO =
  '22 27 0:21 / /proc rw,relatime - proc proc rw\n' +
  '36 35 98:0 /mnt1 /mnt/with\\040blank rw,noatime master:1 shared:2 - ext3 /dev/root rw\n' +
  '40 35 0:44 / /data rw - btrfs /dev/sdb1 rw,ssd\n' +
  'a broken line\n'

describe('the mount table', () => {
  test('is read with and without optional fields, blanks unescaped', () => {
    expect(parseMountInfo(MOUNTINFO)).toEqual([
      { deviceNumber: '0:21', mountPoint: '/proc', fsType: 'proc', source: 'proc' },
      { deviceNumber: '98:0', mountPoint: '/mnt/with blank', fsType: 'ext3', source: '/dev/root' },
      { deviceNumber: '0:44', mountPoint: '/data', fsType: 'btrfs', source: '/dev/sdb1' },
    ])
  })

  test('and the swap table are found under the root, and may be missing', async () => {
    await using tree = await createTree({
      'proc/self/mountinfo': MOUNTINFO,
      'proc/swaps':
        'Filename\t\t\tType\n/dev/sda2   partition 8388604 0 -2\n/swap\\040file file 1 0 -3\n',
    })
    expect(await listMounts(tree.root)).toHaveLength(3)
    expect(await listSwaps(tree.root)).toEqual(['/dev/sda2', '/swap file'])
    await using empty = await createTree({})
    expect(await listMounts(empty.root)).toEqual([])
    expect(await listSwaps(empty.root)).toEqual([])
  })
})
