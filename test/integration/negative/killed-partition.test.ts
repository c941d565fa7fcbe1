import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { waitUntilFree } from '../../../agent/system/image-root/exclusive-access.ts'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { createWrittenDisk, ROOT_FS_UUID } from '../../support/image-root/written-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { processesWith, secondsOfOurOwn } from '../../support/processes.ts'
import { durationOf, KILLS, killAtRandom, startProgram } from '../../support/random-kill.ts'
import {
  bytesAt,
  createPartitionLab,
  loopsOver,
  onWindow,
  sha256Of,
} from '../image/partition-lab.ts'

const run = promisify(execFile)
const canRun =
  hasLoopDevices('killed partition images') && hasPackages('agent') && hasPackages('boot-loaders')
const MiB = 1024 * 1024
const BOOT_CODE = 'test boot code'

const start = (program: string, ...args: string[]) =>
  startProgram(join(import.meta.dirname, program), ...args)

/** Nobody has the disk open, no loop device lies on it. */
async function expectNothingLeft(path: string): Promise<void> {
  await waitUntilFree(path)
  await expect.poll(() => openersOf(path)).toEqual([])
  await expect.poll(() => loopsOver(path)).toBe('')
}

describe.skipIf(!canRun || KILLS === 0)(
  'killed with SIGKILL at random moments',
  { timeout: 3_600_000 },
  () => {
    test.each([
      ['a GPT', { deploy_boot_mode: 'uefi', ephemeral_mb: 16, ephemeral_format: 'ext4' }],
      ['an MBR', { deploy_boot_mode: 'bios', disk_label: 'msdos', swap_mb: 16 }],
    ])('a deploy of a partition image with %s leaves all of it or no table', async (_, fields) => {
      await using lab = await createPartitionLab()
      const { path } = lab.disk
      const deploy = () => start('deploy-process.ts', path, JSON.stringify(lab.imageInfo(fields)))
      const lastMs = await durationOf(deploy())
      for (let i = 0; i < KILLS; i++) {
        const delayMs = await killAtRandom(deploy(), 1.1 * lastMs)
        await expectNothingLeft(path)
        const isBootable = (await bytesAt(path, 510, 2)).readUInt16LE() === 0xaa55
        if (!isBootable) continue
        await run('sfdisk', ['--verify', path])
        const { stdout } = await run('sfdisk', ['--json', path])
        const root = JSON.parse(stdout).partitiontable.partitions.at(-1)
        const window = { offset: root.start * 512, length: lab.image.sizeBytes }
        expect(await sha256Of(path, window), `killed after ${delayMs} ms`).toBe(lab.image.sha256)
        await onWindow(path, { ...window, length: root.size * 512 }, ['e2fsck', '-fn'])
      }
    })

    test('install_bootloader leaves no program of the image, no mount, no claim', async () => {
      const marker = secondsOfOurOwn()
      await using root = await createBusyboxRoot({
        '/usr/sbin/grub-install': `#!/bin/sh
for device; do :; done
(setsid sleep ${marker} > /dev/null 2>&1 < /dev/null &)
printf '${BOOT_CODE}' | dd of=$device conv=notrunc; sleep 0.2`,
        '/usr/sbin/grub-mkconfig': '#!/bin/sh\necho menu > "$2"',
      })
      await using disk = await createWrittenDisk({
        label: 'dos',
        partitions: ['start=4096,size=61440,bootable'],
        root: { startMiB: 2, sizeMiB: 30, folder: root.folder },
        diskMiB: 36,
      })
      const { path } = disk
      const install = async () => {
        await using device = await open(path, 'r+')
        await device.write(Buffer.alloc(440), 0, 440, 0)
        await device.sync()
        return start('grub-process.ts', path, ROOT_FS_UUID)
      }
      const lastMs = await durationOf(await install())
      for (let i = 0; i < KILLS; i++) {
        await killAtRandom(await install(), 1.1 * lastMs)
        await expect.poll(() => processesWith(marker)).toEqual([])
        await expect.poll(() => disk.mounts()).toEqual([])
        await expectNothingLeft(path)
        const code = (await bytesAt(path, 0, 440)).toString('latin1').replaceAll('\0', '')
        expect(['', BOOT_CODE]).toContain(code)
        // its journal is replayed by the next mount, as after a power cut
        await onWindow(path, { offset: 2 * MiB, length: 30 * MiB }, ['e2fsck', '-n']).catch(
          async () => await durationOf(await install()),
        )
      }
      await durationOf(await install())
      await disk.checkRoot()
    })
  },
)
