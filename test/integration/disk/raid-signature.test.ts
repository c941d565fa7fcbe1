import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { MiB } from '../../../agent/core/units.ts'
import { findRaidSignature } from '../../../agent/disk/raid-signature.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { raidSuperblock } from './raid-superblock.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('RAID superblocks') && hasPackages('agent')
const root = createRoot('/')
const { signal } = new AbortController()
const find = (path: string) => findRaidSignature(exec, root, path, signal)

async function writeRaid(
  path: string,
  version: '1.0' | '1.1' | '1.2',
  { offset, length }: { offset: number; length: number },
): Promise<void> {
  const superblock = raidSuperblock(version, length)
  await using disk = await open(path, 'r+')
  await disk.write(superblock.bytes, 0, superblock.bytes.length, offset + superblock.offset)
  await disk.sync()
}

describe.skipIf(!canRun)('a RAID superblock', () => {
  test.each(['1.0', '1.1', '1.2'] as const)(
    'of version %s is found on the disk',
    async (version) => {
      await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
      await writeRaid(loop.path, version, { offset: 0, length: 64 * MiB })
      expect(await find(loop.path)).toEqual({ place: loop.path, type: 'linux_raid_member' })
    },
  )

  test.each([
    ['a file system at the front', (path: string) => run('mke2fs', ['-q', '-F', path])],
    ['a partition table', (path: string) => run('sgdisk', ['-n', '1:2048:+8M', path])],
  ])('at the end is found behind %s', async (_, make) => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await make(loop.path)
    await writeRaid(loop.path, '1.0', { offset: 0, length: 64 * MiB })
    expect(await find(loop.path)).toMatchObject({ type: 'linux_raid_member' })
  })

  test('in a partition is found where the kernel knows no partitions', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await run('sgdisk', ['-n', '1:2048:+8M', '-n', '2:0:+16M', loop.path])
    await writeRaid(loop.path, '1.2', { offset: 9 * MiB, length: 16 * MiB })
    expect(await find(loop.path)).toEqual({
      place: `partition 2 of ${loop.path}`,
      type: 'linux_raid_member',
    })
  })

  test.each([
    ['nothing', async () => undefined],
    ['a file system', (path: string) => run('mke2fs', ['-q', '-F', path])],
    ['swap', (path: string) => run('mkswap', [path])],
  ])('is not found on a disk with %s', async (_, make) => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await make(loop.path)
    expect(await find(loop.path)).toBeUndefined()
  })

  test('is found in a partition of a table that the first sector leads to no longer', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    await run('sgdisk', ['-n', '1:2048:+16M', loop.path])
    await writeRaid(loop.path, '1.2', { offset: MiB, length: 16 * MiB })
    {
      await using disk = await open(loop.path, 'r+')
      await disk.write(new Uint8Array(512), 0, 512, 0)
      await disk.sync()
    }
    expect(await find(loop.path)).toMatchObject({ type: 'linux_raid_member' })
  })

  test('is not known of where blkid fails, which is not the same as none', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 8 * MiB })
    const failing: Exec = async () => {
      throw new AgentError('ProcessError', 'blkid: no end after 30 s; killed')
    }
    const missing: Exec = async () => {
      throw new AgentError('ProcessError', 'blkid: command not found; install it in the ramdisk')
    }
    await expect(findRaidSignature(failing, root, loop.path, signal)).rejects.toThrow(
      'no end after',
    )
    expect(await findRaidSignature(missing, root, loop.path, signal)).toBeUndefined()
  })

  test('is not found on a disk that is not there', async () => {
    expect(await find('/dev/nothing')).toBeUndefined()
  })
})
