import { describe, expect, test } from 'vitest'
import {
  fatesOf,
  keptVolumeNames,
  listArrays,
  type MdArray,
} from '../../../../agent/hardware/raid/arrays.ts'
import { parseLsblk } from '../../../../agent/system/lsblk.ts'
import { lsblkOutput, machineWith } from '../machine-fixture.ts'

const member = (disk: string, label: string | null) => ({
  kname: `${disk}1`,
  pkname: disk,
  type: 'part',
  fstype: 'linux_raid_member',
  label,
})
/** An array by its files in sysfs. */
const arrayFiles = (
  kname: string,
  members: readonly string[],
  state = 'clean',
  version = '1.2',
) => ({
  [`/sys/class/block/${kname}/md/array_state`]: `${state}\n`,
  [`/sys/class/block/${kname}/md/metadata_version`]: `${version}\n`,
  ...Object.fromEntries(members.map((name) => [`/sys/class/block/${kname}/slaves/${name}`, ''])),
})

async function arraysOf(files: Record<string, string>, rows: Record<string, unknown>[]) {
  await using machine = await machineWith(files)
  return await listArrays(machine.root, parseLsblk(lsblkOutput(rows)))
}

describe('the arrays of a machine', () => {
  test('are told with members, their disks and the name without its host', async () => {
    const rows = [
      { kname: 'sda' },
      member('sda', 'node:root'),
      { kname: 'sdb' },
      member('sdb', 'node:root'),
    ]
    const files = {
      ...arrayFiles('md127', ['sda1', 'sdb1']),
      '/sys/class/block/md127/md/level': 'raid1\n',
      '/sys/class/block/md127/md/raid_disks': '3\n',
      '/sys/class/block/md127/md/dev-sda1/state': 'in_sync\n',
      '/sys/class/block/md127/md/dev-sdb1/state': 'faulty,blocked\n',
    }
    expect(await arraysOf(files, rows)).toEqual([
      {
        kname: 'md127',
        path: '/dev/md127',
        isActive: true,
        level: 'raid1',
        memberCount: 3,
        members: ['sda1', 'sdb1'],
        faulty: ['sdb1'],
        disks: ['sda', 'sdb'],
        name: 'root',
      },
    ])
  })

  test('count where they are not started, made of whole disks, or have no name', async () => {
    const rows = [{ kname: 'sda', fstype: 'linux_raid_member' }]
    const found = await arraysOf(arrayFiles('md0', ['sda'], 'inactive', '0.90'), rows)
    expect(found).toMatchObject([{ isActive: false, disks: ['sda'], name: null }])
  })

  test('lie on other arrays, where these are their members', async () => {
    const rows = [{ kname: 'md1', type: 'raid1', fstype: 'linux_raid_member', label: 'upper' }]
    const files = arrayFiles('md9', ['md1'])
    expect(await arraysOf(files, rows)).toMatchObject([{ kname: 'md9', disks: ['md1'] }])
  })

  test.each([
    ['a container of a firmware', arrayFiles('md127', ['sda'], 'inactive', 'external:imsm')],
    ['a volume of one', arrayFiles('md126', ['sda'], 'clean', 'external:/md127/0')],
    ['the node of one that is stopped', arrayFiles('md0', [], 'clear', '')],
    ['a disk', { '/sys/class/block/sda/size': '100' }],
  ])('are not %s', async (_, files) => {
    expect(await arraysOf(files, [{ kname: 'sda' }])).toEqual([])
  })
})

describe('what becomes of an array when the configuration is deleted', () => {
  const array = (kname: string, name: string | null, ...disks: string[]): MdArray => ({
    ...{ kname, name, disks, path: `/dev/${kname}`, isActive: true, members: disks },
    ...{ level: 'raid1', memberCount: disks.length, faulty: [] },
  })
  const CASES: [string, MdArray[], readonly string[], readonly string[], Record<string, string>][] =
    [
      ['deleted', [array('md0', 'root', 'sda')], [], [], { md0: 'delete' }],
      ['kept by its name', [array('md0', 'root', 'sda')], ['root'], [], { md0: 'keep' }],
      ['kept with a disk', [array('md0', null, 'sda', 'sdb')], [], ['sdb'], { md0: 'keep' }],
      [
        'wiped beside a kept one, deleted elsewhere',
        [
          array('md0', 'root', 'sda', 'sdb'),
          array('md1', 'data', 'sdb', 'sdc'),
          array('md2', 'more', 'sdc', 'sdd'),
        ],
        ['root'],
        [],
        { md0: 'keep', md1: 'wipe', md2: 'delete' },
      ],
      [
        'kept as the ESPs of a kept one, deleted as those of others',
        [array('md0', 'root', 'sda'), array('md1', 'esp', 'sda'), array('md2', 'esp', 'sdb')],
        ['root'],
        [],
        { md0: 'keep', md1: 'keep', md2: 'delete' },
      ],
    ]
  test.each(CASES)('%s', (_, arrays, names, disks, fates) => {
    expect(Object.fromEntries(fatesOf(arrays, names, new Set(disks)))).toEqual(fates)
  })
})

test('volumes to keep are the names in skip_block_devices, and nothing else there', () => {
  const skip_block_devices = [
    { volume_name: 'data' },
    { name: '/dev/sda' },
    null,
    { volume_name: 7 },
  ]
  expect(keptVolumeNames({ properties: { skip_block_devices } })).toEqual(['data'])
  expect(keptVolumeNames(undefined)).toEqual([])
})

test('an array is kept by its own name, and so is one that is made of it', () => {
  const array = (kname: string, disks: readonly string[], name: string): MdArray => ({
    kname,
    path: `/dev/${kname}`,
    isActive: true,
    level: 'raid1',
    memberCount: disks.length,
    members: disks,
    faulty: [],
    disks,
    name,
  })
  const arrays = [
    array('md127', ['sda', 'sdb'], 'data'),
    array('md126', ['md127'], 'top'),
    array('md125', ['sdc', 'sdd'], 'other'),
  ]
  const byName = fatesOf(arrays, ['data'], new Set())
  expect([...byName.values()]).toEqual(['keep', 'keep', 'delete'])
  expect([...fatesOf(arrays, [], new Set(['md127'])).values()]).toEqual(['keep', 'keep', 'delete'])
  expect([...fatesOf(arrays, [], new Set(['sda'])).values()]).toEqual(['keep', 'keep', 'delete'])
})
