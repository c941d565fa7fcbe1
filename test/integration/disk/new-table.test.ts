import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../../agent/core/units.ts'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { type LayoutRequest, layOut } from '../../../agent/disk/partitioning/disk-layout.ts'
import { writeNewTable } from '../../../agent/disk/partitioning/new-table.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { readPartitionTable } from '../../support/compare-disk.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('new partition tables') && hasPackages('agent')

const ALL: LayoutRequest = {
  bootMode: 'uefi',
  diskLabel: null,
  isPpc64: false,
  rootMib: 1024,
  swapMib: 100,
  ephemeralMib: 300,
  ephemeralFormat: 'ext4',
  preservesEphemeral: false,
  configdriveMib: 1,
}

/** What ironic-python-agent would call parted with, behind `unit MiB` (contract 5.3.10). */
interface Row {
  readonly request: Partial<LayoutRequest>
  readonly sectorBytes?: 512 | 4096
  readonly sizeBytes?: number
  readonly parted: string
}

const ROWS: Readonly<Record<string, Row>> = {
  UEFI: {
    request: {},
    parted:
      'mklabel gpt mkpart primary fat32 1 551 set 1 boot on mkpart primary 551 851 ' +
      'mkpart primary linux-swap 851 951 mkpart primary 951 952 mkpart primary 952 1976',
  },
  'UEFI on a 4Kn disk': {
    request: { swapMib: 0 },
    sectorBytes: 4096,
    parted:
      'mklabel gpt mkpart primary fat32 1 551 set 1 boot on mkpart primary 551 851 ' +
      'mkpart primary 851 852 mkpart primary 852 1876',
  },
  'BIOS with an MBR': {
    request: { bootMode: 'bios' },
    parted:
      'mklabel msdos mkpart primary 1 301 mkpart primary linux-swap 301 401 ' +
      'mkpart primary 401 402 mkpart primary 402 1426 set 4 boot on',
  },
  'BIOS with an MBR on a 4Kn disk': {
    request: { bootMode: 'bios', swapMib: 0 },
    sectorBytes: 4096,
    parted:
      'mklabel msdos mkpart primary 1 301 mkpart primary 301 302 mkpart primary 302 1326 set 3 boot on',
  },
  'BIOS with a GPT': {
    request: { bootMode: 'bios', diskLabel: 'gpt', ephemeralMib: 0 },
    parted:
      'mklabel gpt mkpart primary 1 2 set 1 bios_grub on mkpart primary linux-swap 2 102 ' +
      'mkpart primary 102 103 mkpart primary 103 1127',
  },
  'PReP in an MBR': {
    request: { bootMode: 'bios', isPpc64: true, ephemeralMib: 0 },
    parted:
      'mklabel msdos mkpart primary 1 9 set 1 prep on mkpart primary linux-swap 9 109 ' +
      'mkpart primary 109 110 mkpart primary 110 1134',
  },
  'PReP in a GPT': {
    request: { bootMode: 'bios', isPpc64: true, diskLabel: 'gpt' },
    parted:
      'mklabel gpt mkpart primary 1 9 set 1 prep on mkpart primary 9 309 ' +
      'mkpart primary linux-swap 309 409 mkpart primary 409 410 mkpart primary 410 1434',
  },
  'a GPT of 5 TiB': {
    request: { rootMib: 3 * 1024 * 1024, swapMib: 0, ephemeralMib: 0, configdriveMib: 0 },
    sizeBytes: 5 * 1024 * GiB,
    parted: 'mklabel gpt mkpart primary fat32 1 551 set 1 boot on mkpart primary 551 3146279',
  },
}

describe.runIf(canRun)('the new table of a disk', () => {
  test.each(Object.entries(ROWS))('for %s is the one that parted makes', async (_, row) => {
    const sizeBytes = row.sizeBytes ?? 3 * GiB
    const disk = { sizeBytes, sectorBytes: row.sectorBytes ?? 512 }
    await using ours = await createLoopDevice(disk)
    await using theirs = await createLoopDevice(disk)
    let label: string
    {
      await using device = await openBlockDevice(ours.path, {
        mode: 'write',
        root: createRoot('/'),
      })
      const layout = layOut({ ...ALL, ...row.request }, device.geometry)
      label = layout.label
      const partUuids = await writeNewTable(device, layout)
      await device.sync()
      expect([...partUuids.keys()]).toEqual(layout.partitions.map(({ number }) => number))
    }
    await run('parted', [
      '--align=optimal',
      '--script',
      theirs.path,
      '--',
      'unit',
      'MiB',
      ...row.parted.split(' '),
    ])
    const rowsOf = async (path: string) =>
      (await readPartitionTable(path))?.partitions?.map(({ start, size, type, bootable }) => ({
        start,
        size,
        type,
        bootable: bootable ?? false,
      }))
    expect(await rowsOf(ours.path)).toEqual(await rowsOf(theirs.path))
    await run('sfdisk', ['--verify', ours.path])
    // parted reports tables that do not hold together on its standard error
    const printed = await run('parted', ['--script', '--machine', ours.path, 'print'])
    expect(printed.stderr).toBe('')
    if (label !== 'gpt') return
    expect((await run('sgdisk', ['--verify', ours.path])).stdout).toContain('No problems found')
  })

  test('names each partition as the kernel does', async () => {
    await using disk = await createLoopDevice({ sizeBytes: 64 * MiB })
    await using device = await openBlockDevice(disk.path, { mode: 'write', root: createRoot('/') })
    const request = { ...ALL, bootMode: 'bios' as const, rootMib: 32, ephemeralMib: 0, swapMib: 8 }
    const partUuids = await writeNewTable(device, layOut(request, device.geometry))
    await device.sync()
    const table = await readPartitionTable(disk.path)
    const identifier = table?.id.slice(2)
    expect(identifier).not.toBe('00000000')
    expect([...partUuids]).toEqual([1, 2, 3].map((n) => [n, `${identifier}-0${n}`]))
  })
})
