import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openLoopWindow } from '../../../agent/disk/partitioning/loop-window.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { loopsOver } from '../image/partition-lab.ts'

const MiB = 1024 * 1024
const WAIT = { interval: 50 }

describe.runIf(hasLoopDevices('windows of disks'))('a window of a disk', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-window-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  test.skipIf(!hasPackages('boot-loaders'))(
    'is had by the shell of the ramdisk, which has a losetup of its own',
    async () => {
      await using disk = await createLoopDevice({ sizeBytes: 16 * MiB })
      await symlink('/usr/bin/busybox', join(folder, 'sh'))
      const range = { offset: MiB, length: 4 * MiB }
      const geometry = { path: disk.path, logicalSectorBytes: 512 }
      const env = { PATH: `${folder}:${process.env['PATH']}:/usr/sbin:/sbin` }
      {
        const inFolder: Exec = (argv, options) => exec(argv, { ...options, env })
        await using window = await openLoopWindow(inFolder, geometry, range)
        expect(await loopsOver(disk.path)).toContain(window.path)
      }
      await expect.poll(() => loopsOver(disk.path), WAIT).toBe('')
    },
  )

  test.each([
    ['before it knows of it: the kernel has attached it, losetup has not ended', true],
    ['once it has it', false],
  ])('ends with a process that is killed %s', async (_when, isSlow) => {
    await using disk = await createLoopDevice({ sizeBytes: 16 * MiB })
    // what losetup does, and then a while in which it has not ended
    const script = '#!/bin/sh\n/usr/sbin/losetup "$@"\ncode=$?\nsleep 1\nexit $code\n'
    if (isSlow) await writeFile(join(folder, 'losetup'), script, { mode: 0o755 })
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'loop-window-process.ts'), disk.path],
      {
        env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const exited = once(child, 'exit')
    if (!isSlow) await once(child.stdout, 'data')
    await expect.poll(() => loopsOver(disk.path), WAIT).not.toBe('')
    child.kill('SIGKILL')
    await exited
    await expect.poll(() => loopsOver(disk.path), WAIT).toBe('')
  })

  test('that cannot be had says why, and leaves nothing', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 16 * MiB })
    const missing = { path: join(folder, 'nothing'), logicalSectorBytes: 512 }
    await expect(openLoopWindow(exec, missing, { offset: 0, length: MiB })).rejects.toMatchObject({
      type: 'BlockDeviceError',
      details: expect.stringMatching(/offset 0: .*No such file or directory/),
    })
    expect(await loopsOver(disk.path)).toBe('')
  })
})
