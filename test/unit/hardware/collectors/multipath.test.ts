import { describe, expect, test } from 'vitest'
import { listDisks } from '../../../../agent/hardware/collectors/disks.ts'
import { isMap } from '../../../../agent/hardware/collectors/multipath.ts'
import type { Disk } from '../../../../agent/hardware/inventory.ts'
import { planRaid } from '../../../../agent/hardware/raid/plan.ts'
import { parseTargetConfig } from '../../../../agent/hardware/raid/target-config.ts'
import { compileHints, markSkipped } from '../../../../agent/hardware/root-device-hints.ts'
import { lsblkOutput, machineWith } from '../machine-fixture.ts'

type Row = Record<string, unknown>

const LUN = {
  model: 'VIRTUAL-DISK',
  vendor: 'LIO-ORG',
  wwn: '0x6001405e',
  serial: 'abc',
  tran: 'fc',
}
const MAP = { kname: 'dm-0', type: 'mpath', size: 107374182400 }
const path = (kname: string, children: Row[] = []) => ({
  ...{ kname, ...LUN, hctl: `${kname === 'sda' ? 2 : 3}:0:0:1` },
  children: [...children, MAP],
})
const part = (kname: string, changes: Row = {}) => ({ kname, type: 'part', ...changes })
/** udev's memory, and the links in /dev. */
const UDEV = {
  'udevadm info --query=property --name=/dev/dm-0':
    'DM_UUID=mpath-36001405e\nDM_SERIAL=36001405e\n',
  'udevadm info --query=property --name=/dev/sda':
    'ID_SERIAL=36001405e\nID_SERIAL_SHORT=6001405e\nDEVLINKS=/dev/disk/by-path/pci-fc-1-lun-1\n',
  'udevadm info --query=property --name=/dev/sdb':
    'ID_SERIAL=36001405e\nDEVLINKS=/dev/disk/by-path/pci-fc-2-lun-1\n',
}

async function disksOf(rows: readonly Row[]): Promise<Disk[]> {
  await using machine = await machineWith({}, { ...UDEV, lsblk: lsblkOutput(rows) })
  return await listDisks({ ...machine, listed: [] })
}
const mapOf = async (rows: readonly Row[]) => {
  const map = (await disksOf(rows)).find(({ name }) => isMap(name))
  if (map === undefined) throw new Error('no map')
  return map
}

describe('a LUN whose paths are joined', () => {
  const rows = [path('sda', [part('sda1')]), path('sdb', [part('sdb1')])]

  test('is one disk, and its paths are none', async () => {
    expect((await disksOf(rows)).map(({ name, leftAlone }) => [name, leftAlone])).toEqual([
      ['/dev/dm-0', null],
    ])
  })

  test.each([
    { serial: 'abc' },
    { serial: '36001405e' },
    { wwn: '0x6001405e' },
    { model: 'virtual-disk', vendor: 'LIO-ORG' },
    { by_path: '/dev/disk/by-path/pci-fc-1-lun-1' },
    { by_path: '/dev/disk/by-path/pci-fc-2-lun-1' },
    { hctl: '2:0:0:1', tran: 'fc' },
    { name: '/dev/dm-0' },
  ])('matches the root device hint %j', async (hints) => {
    expect(compileHints(hints)(await mapOf(rows))).toBe(true)
  })

  test.each([
    { name: '/dev/dm-0' },
    { name: '/dev/sda' },
    { name: '/dev/sdb' },
    { name: '/dev/sdb1' },
    { hctl: '3:0:0:1' },
    { by_path: '/dev/disk/by-path/pci-fc-2-lun-1' },
    { wwn: '0x6001405e' },
  ])('is kept by skip_block_devices with %j', async (entry) => {
    const [disk] = markSkipped([await mapOf(rows)], [entry])
    expect(disk?.leftAlone).toEqual({ reason: 'skip_block_devices excludes it', isWanted: true })
  })

  test.each([{ name: '/dev/sdc' }, { hctl: '4:0:0:1' }, { hctl: 's!= 2:0:0:1' }])(
    'is not kept by an entry for another: %j',
    async (entry) => {
      expect(markSkipped([await mapOf(rows)], [entry])[0]?.leftAlone).toBeNull()
    },
  )

  test('is a member of RAID by what its paths show of it', async () => {
    const member = part('sda1', { fstype: 'linux_raid_member', label: 'node:data' })
    const map = await mapOf([path('sda', [member]), path('sdb')])
    expect(map.leftAlone?.reason).toContain('sda1 is a member of the RAID array node:data')
  })

  test('is written by its map where it has a path that the map lacks', async () => {
    const disks = await disksOf([...rows, { kname: 'sdc', ...LUN }])
    expect(disks.map(({ name, leftAlone }) => [name, leftAlone?.reason ?? null])).toEqual([
      ['/dev/dm-0', null],
      ['/dev/sdc', '/dev/sdc is a path of the multipath disk /dev/dm-0, which lacks it'],
    ])
  })

  test('leaves a path alone that udev knows and no map has, and says so', async () => {
    const disks = await disksOf([...rows, { kname: 'sdc', fstype: 'mpath_member' }])
    expect(disks.map(({ name, leftAlone }) => [name, leftAlone?.reason ?? null])).toEqual([
      ['/dev/dm-0', null],
      [
        '/dev/sdc',
        "sdc is a path of a multipath disk by udev's word, and no map has it (see multipath -ll)",
      ],
    ])
  })

  test('becomes no member of software RAID', async () => {
    const map = await mapOf(rows)
    const software = { controller: 'software', raid_level: '1', size_gb: 'MAX' }
    const gpt = { label: 'gpt', firstByte: 0 } as const
    const wanted = parseTargetConfig({ logical_disks: [software] })
    expect(() => planRaid([map, { ...map, name: '/dev/sdx' }], wanted, gpt)).toThrow(
      /dm-0 is a multipath disk, of which the kernel shows no partitions/,
    )
  })
})
