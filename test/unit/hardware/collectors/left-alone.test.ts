import { describe, expect, test } from 'vitest'
import { listDisks } from '../../../../agent/hardware/collectors/disks.ts'
import { lsblkOutput, machineWith } from '../machine-fixture.ts'

type Row = Record<string, unknown>

interface Setting {
  readonly files?: Record<string, string>
  readonly answers?: Record<string, string>
  readonly erasesRaidMembers?: boolean
}

/** By kernel name: why the disk is left alone; null for a disk like any other. */
async function reasonsOf(rows: readonly Row[], setting: Setting = {}) {
  await using machine = await machineWith(setting.files, {
    lsblk: lsblkOutput(rows),
    ...setting.answers,
  })
  const { erasesRaidMembers = false } = setting
  const disks = await listDisks({ ...machine, listed: [], erasesRaidMembers })
  return Object.fromEntries(
    disks.map(({ name, leftAlone }) => [name.slice('/dev/'.length), leftAlone?.reason ?? null]),
  )
}

const part = (parent: string, changes: Row = {}) => ({
  kname: `${parent}1`,
  pkname: parent,
  type: 'part',
  ...changes,
})

describe('a member of RAID', () => {
  const SIGNATURES = [
    ...['linux', 'isw', 'ddf', 'lsi_mega', 'via', 'silicon_medley', 'nvidia', 'adaptec', 'jmicron'],
    ...['promise_fasttrack', 'highpoint', 'hpt37x', 'hpt45x'],
  ].map((name) => `${name}_raid_member`)

  test.each(SIGNATURES)('is left alone by %s on the disk or on a partition', async (fstype) => {
    const rows = [
      { kname: 'sda', fstype },
      { kname: 'sdb' },
      part('sdb', { fstype }),
      { kname: 'sdc' },
    ]
    const reasons = await reasonsOf(rows)
    expect(reasons['sda']).toContain(`sda is a member of a RAID array by its signature ${fstype}`)
    expect(reasons['sdb']).toContain('sdb1 is a member')
    expect(reasons['sdc']).toBeNull()
  })

  test('says which array, and what the operator can do', async () => {
    const member = { kname: 'sda', fstype: 'linux_raid_member', label: 'node:root' }
    expect((await reasonsOf([member]))['sda']).toBe(
      'sda is a member of the RAID array node:root by its signature linux_raid_member ' +
        '(see the option erase_raid_members)',
    )
  })

  test('is a disk like any other with erase_raid_members, as long as nothing holds it', async () => {
    const rows = [
      { kname: 'sda', fstype: 'linux_raid_member' },
      { kname: 'sdb', fstype: 'isw_raid_member', children: [{ kname: 'md126', type: 'raid1' }] },
    ]
    expect(await reasonsOf(rows, { erasesRaidMembers: true })).toMatchObject({
      sda: null,
      sdb: 'sdb is a member of the RAID array md126',
    })
  })

  test.each([['LVM2_member'], ['crypto_LUKS'], ['zfs_member'], ['bcache'], ['ext4'], ['drbd']])(
    'is none by %s, which a tenant leaves',
    async (fstype) => {
      expect(await reasonsOf([{ kname: 'sda', fstype }])).toEqual({ sda: null })
    },
  )
})

describe('a disk that something holds is left alone, whatever its signature', () => {
  const HOLDERS: [string, Row[], Record<string, string>, RegExp][] = [
    [
      'by the tree of lsblk',
      [{ kname: 'sda', children: [{ kname: 'dm-0', type: 'crypt' }] }],
      {},
      /^sda is held by dm-0$/,
    ],
    [
      'as the second member of a volume that lsblk shows once',
      [
        { kname: 'sdb', children: [{ kname: 'dm-0', type: 'dmraid' }] },
        { kname: 'sda', children: [{ kname: 'dm-0', type: 'dmraid' }] },
      ],
      {},
      /^sda is a member of the RAID array dm-0$/,
    ],
    [
      'on a partition of it',
      [{ kname: 'sda' }, part('sda'), { kname: 'md9', type: 'raid5', pkname: 'sda1' }],
      {},
      /^sda1 is a member of the RAID array md9$/,
    ],
    [
      'by sysfs alone',
      [{ kname: 'sda', fstype: 'ext4' }],
      { '/sys/class/block/sda/holders/bcache0': '' },
      /^sda is held by bcache0$/,
    ],
    [
      'on a partition that only sysfs knows',
      [{ kname: 'sda' }],
      {
        '/sys/class/block/sda/sda1/partition': '1',
        '/sys/class/block/sda1/holders/md127': '',
      },
      /^sda1 is a member of the RAID array md127$/,
    ],
    [
      'as the member of a container, which has no size',
      [
        { kname: 'sda', fstype: 'isw_raid_member' },
        { kname: 'md127', type: 'md', size: 0 },
      ],
      { '/sys/class/block/sda/holders/md127': '' },
      /^sda is a member of the RAID array md127$/,
    ],
  ]
  test.each(HOLDERS)('%s', async (_, rows, files, reason) => {
    expect((await reasonsOf(rows, { files }))['sda']).toMatch(reason)
    expect((await reasonsOf(rows, { files, erasesRaidMembers: true }))['sda']).toMatch(reason)
  })

  test('but a partition that kpartx made of a multipath disk is no holder', async () => {
    const files = {
      '/sys/class/block/dm-0/holders/dm-1': '',
      '/sys/class/block/dm-1/dm/uuid': 'part1-mpath-36001405\n',
    }
    const rows = [
      { kname: 'dm-0', type: 'mpath' },
      { kname: 'dm-1', type: 'part', pkname: 'dm-0' },
    ]
    expect(await reasonsOf(rows, { files })).toEqual({ 'dm-0': null })
  })
})

describe('paths of one LUN that no multipathd has joined are left alone', () => {
  const lun = { size: 10_737_418_240, wwn: '0x600140512345678', serial: '600140512345678' }
  const LUNS: [string, Row, Row][] = [
    ['iSCSI', { ...lun, tran: 'iscsi' }, { ...lun, tran: 'iscsi' }],
    ['Fibre Channel', { ...lun, tran: 'fc' }, { ...lun, tran: 'fc' }],
    ['SAS with two ports', { ...lun, tran: 'sas' }, { ...lun, tran: 'sas' }],
    ['a transport that nobody knows', lun, lun],
    ['one whose serial number is not known yet', lun, { ...lun, serial: null }],
    ['no WWN, but a fabric', { ...lun, wwn: null, tran: 'fc' }, { ...lun, wwn: null, tran: 'fc' }],
  ]
  test.each(LUNS)('%s', async (_, first, second) => {
    const rows = [
      { ...first, kname: 'sda' },
      { ...second, kname: 'sdb' },
      { ...lun, kname: 'sdc', wwn: '0x600140512345679', serial: 'another' },
    ]
    const reason = expect.stringMatching(
      /^\/dev\/sda, \/dev\/sdb are paths of one LUN, \w+, and no/,
    )
    for (const erasesRaidMembers of [false, true]) {
      const reasons = await reasonsOf(rows, { erasesRaidMembers })
      expect(reasons).toEqual({ sda: reason, sdb: reason, sdc: null })
    }
  })

  test('four paths, and NVMe namespaces of a kernel without its own multipath', async () => {
    const rows = ['nvme0n1', 'nvme1n1', 'nvme2n1', 'nvme3n1'].map((kname) => ({
      kname,
      wwn: 'eui.0025385b71b00e2a',
      serial: 'S4',
      tran: 'nvme',
    }))
    expect(Object.values(await reasonsOf(rows)).every((reason) => reason !== null)).toBe(true)
  })

  const OTHERS: [string, Row, Row][] = [
    ['with WWNs of their own', { wwn: '0x5000c5001' }, { wwn: '0x5000c5002' }],
    ['of different size', { ...lun }, { ...lun, size: 5_000_000_000 }],
    ['that know neither number', {}, {}],
    ['on USB with a made-up serial number', { ...lun, tran: 'usb' }, { ...lun, tran: 'usb' }],
    ['on SATA', { ...lun, tran: 'sata' }, { ...lun, tran: 'sata' }],
    ['with one WWN but two serial numbers', lun, { ...lun, serial: 'other' }],
    ['with one serial number and no fabric', { serial: '1' }, { serial: '1' }],
  ]
  test.each(OTHERS)('not two disks %s', async (_, first, second) => {
    const rows = [
      { ...first, kname: 'sda' },
      { ...second, kname: 'sdb' },
    ]
    expect(await reasonsOf(rows)).toEqual({ sda: null, sdb: null })
  })

  test('not LUNs of one array that share all of the WWN but its extension', async () => {
    const answers = {
      'udevadm info --query=property --name=/dev/sda':
        'ID_WWN=0x6001\nID_WWN_WITH_EXTENSION=0x6001aa\n',
      'udevadm info --query=property --name=/dev/sdb':
        'ID_WWN=0x6001\nID_WWN_WITH_EXTENSION=0x6001bb\n',
    }
    const rows = ['sda', 'sdb'].map((kname) => ({ kname, tran: 'fc' }))
    expect(await reasonsOf(rows, { answers })).toEqual({ sda: null, sdb: null })
  })
})
