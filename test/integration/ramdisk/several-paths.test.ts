// The ramdisk's script by the ramdisk's shell, in a root whose sysfs says what a test wants.
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createBusyboxRoot } from '../../support/image-root/busybox-root.ts'
import { hasPackages } from '../../support/packages.ts'

const SCRIPTS = join(import.meta.dirname, '../../../image-build/ramdisk/root/usr/lib/ironswarm')
const canRun = process.getuid?.() === 0 && hasPackages('boot-loaders')

/** A disk by what it hangs on and its identifier. */
type Disk = readonly [bus: string, wwid: string]

/** True where the script says that two of the disks are one. */
async function finds(disks: readonly Disk[], cmdline = 'quiet'): Promise<boolean> {
  await using root = await createBusyboxRoot({ 'proc/cmdline': `${cmdline}\n` })
  // the script's PATH is the ramdisk's
  await root.link('usr/bin', '../bin')
  for (const name of ['common', 'several-paths']) {
    await root.put(`usr/lib/ironswarm/${name}`, await readFile(join(SCRIPTS, name), 'utf8'))
  }
  for (const [i, [bus, wwid]] of disks.entries()) {
    const device = `sys/devices/pci0000:00/${bus}/${i}:0:0:0`
    await root.put(`${device}/wwid`, `${wwid}\n`)
    const node = `sys/block/sd${'abcdef'[i]}`
    await root.put(`${node}/size`, '8\n')
    await root.link(`${node}/device`, `/${device}`)
  }
  return spawnSync('chroot', [root.folder, '/usr/lib/ironswarm/several-paths']).status === 0
}

describe.skipIf(!canRun)('the ramdisk takes two disks for one', () => {
  test.each<[string, Disk[]]>([
    [
      'two controllers',
      [
        ['host1', 'naa.6001'],
        ['host2', 'naa.6001'],
      ],
    ],
    [
      'another disk between them',
      [
        ['host1', 'naa.6001'],
        ['host1', 'naa.6002'],
        ['host2', 'naa.6001'],
      ],
    ],
  ])('by one identifier: %s', async (_, disks) => {
    expect(await finds(disks)).toBe(true)
    expect(await finds(disks, 'quiet multipath=off')).toBe(false)
  })

  test.each<[string, Disk[]]>([
    ['there are none', []],
    ['there is one', [['host1', 'naa.6001']]],
    [
      'they differ',
      [
        ['host1', 'naa.6001'],
        ['host2', 'naa.6002'],
      ],
    ],
    [
      'they hang on USB',
      [
        ['usb1', 't10.0123456789'],
        ['usb2', 't10.0123456789'],
      ],
    ],
    [
      'they hang on SATA',
      [
        ['ata1', 't10.ATA X'],
        ['ata2', 't10.ATA X'],
      ],
    ],
    [
      'they have none',
      [
        ['host1', ''],
        ['host2', 'naa.6001'],
      ],
    ],
  ])('not where %s', async (_, disks) => {
    expect(await finds(disks)).toBe(false)
  })
})
