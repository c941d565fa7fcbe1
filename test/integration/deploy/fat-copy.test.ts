import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import { openFatTree } from '../../../agent/disk/instance-kernel/fat-tree.ts'
import { exec } from '../../../agent/system/exec.ts'
import { hasPackages } from '../../support/packages.ts'
import { keepUntilEnd } from '../../support/resources.ts'

const run = promisify(execFile)
const keep = keepUntilEnd()
const MiB = 1024 * 1024
const KERNEL = randomBytes(8 * MiB + 5)
const never = new AbortController().signal
let folder: string
let image: string

type Target = Parameters<Awaited<ReturnType<typeof openFatTree>>['copy']>[1]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-fat-copy-'))
  keep({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) })
  image = join(folder, 'esp')
  await run('truncate', ['-s', '40M', image])
  await run('mkfs.vfat', ['-F', '32', image])
  await writeFile(join(folder, 'kernel'), KERNEL)
  await run('mcopy', ['-i', image, join(folder, 'kernel'), '::/KERNEL'])
})

describe.skipIf(!hasPackages('boot-loaders'))('a copy from a FAT file system', () => {
  test('is the file that mcopy has written, at its position', async () => {
    const tree = await openFatTree(exec, image, 0, never)
    const path = join(folder, 'copy')
    await using target = await open(path, 'wx')
    expect(await tree.copy('/kernel', target, 3, KERNEL.length, never)).toBe(KERNEL.length)
    expect((await readFile(path)).subarray(3).equals(KERNEL)).toBe(true)
    await expect(tree.copy('/kernel', target, 0, KERNEL.length - 1, never)).rejects.toThrow(
      `/kernel has more than ${KERNEL.length - 1} bytes`,
    )
  })

  test('asks for more when what it has is written, and fails with the first write that does', async () => {
    const tree = await openFatTree(exec, image, 0, never)
    let pending = 0
    let most = 0
    const write = async (bytes: Uint8Array, _: number, length: number, position: number) => {
      most = Math.max(most, ++pending)
      await delay(1)
      pending--
      if (position > 4 * MiB) throw new Error('no room')
      return { bytesWritten: length, buffer: bytes }
    }
    const target = { write } as unknown as Target
    await expect(tree.copy('/kernel', target, 0, KERNEL.length, never)).rejects.toThrow('no room')
    expect(most).toBe(1)
  })
})
