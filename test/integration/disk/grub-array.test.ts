// GRUB of an image that lies on an array: it goes to the disks that firmware sees. With md itself, in a machine:
// test/e2e/vm/raid-boot.test.ts.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot, type Root } from '../../../agent/system/root.ts'
import { createLoopDevice } from '../../support/loop-device.ts'
import { BOOT_CODE, bootCodeOf, canInstallGrub, createGrubDisk, install } from './grub-lab.ts'

const run = promisify(execFile)

/** The machine, but for sysfs: there the disk is an array of these partitions. */
function arrayOf(path: string, members: readonly string[]): Root {
  const root = createRoot('/')
  const directory = `/sys/class/block/${path.slice('/dev/'.length)}`
  return {
    ...root,
    readText: async (at) =>
      at === `${directory}/md/metadata_version` ? '1.2' : await root.readText(at),
    list: async (at) =>
      at === `${directory}/slaves`
        ? members.map((member) => member.slice('/dev/'.length))
        : await root.list(at),
  }
}

describe.skipIf(!canInstallGrub())('GRUB out of an image on an array, under BIOS', () => {
  test('is installed to the disks of an array whose own first sector, which firmware does not see, has boot code', async () => {
    await using disk = await createGrubDisk({ label: 'dos' })
    const { path, readRoot } = disk
    await run('sh', ['-c', `printf 'code of its own' | dd of=${path} conv=notrunc`])
    await using member = await createLoopDevice({ sizeBytes: 16 * 1024 * 1024 })
    const sfdisk = run('sfdisk', ['--quiet', member.path])
    sfdisk.child.stdin?.end('label: gpt\nstart=16384\n')
    await sfdisk
    await run('partx', ['--update', member.path])
    await install(path, {
      root: arrayOf(path, [`${member.path}p1`]),
      // this kernel may have no md
      exec: async (argv, options) =>
        argv[0] === 'mdadm'
          ? { stdout: 'MD_UUID=a1:b2:c3:d4\n', stderr: '', exitCode: 0 }
          : await exec(argv, options),
    })
    expect(await readRoot('/called')).toContain(`grub-install --target=i386-pc ${member.path}\n`)
    expect(await bootCodeOf(member.path)).toBe(BOOT_CODE)
    expect(await bootCodeOf(path)).toBe('code of its own')
    expect(await disk.mounts()).toEqual([])
  })
})
