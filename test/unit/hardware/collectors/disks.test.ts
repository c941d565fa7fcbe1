import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listDisks } from '../../../../agent/hardware/collectors/disks.ts'
import { lsblkOutput, machineWith } from '../machine-fixture.ts'

async function namesOf(rows: Record<string, unknown>[], files: Record<string, string> = {}) {
  await using machine = await machineWith(files, { lsblk: lsblkOutput(rows) })
  const disks = await listDisks({ ...machine, listed: [] })
  return disks.map(({ name }) => name)
}

describe('candidates for the root disk', () => {
  test('are disks, software RAID and multipath devices, in the order of lsblk', async () => {
    expect(
      await namesOf([
        { kname: 'sdb' },
        { kname: 'sda', children: [{ kname: 'sda1', type: 'part', size: 5 }] },
        { kname: 'sr0', type: 'rom' },
        { kname: 'loop0', type: 'loop' },
        { kname: 'md127', type: 'raid1' },
        { kname: 'dm-0', type: 'mpath' },
        { kname: 'dm-1', type: 'crypt' },
        { kname: 'nvme0n1' },
      ]),
    ).toEqual(['/dev/sdb', '/dev/sda', '/dev/md127', '/dev/dm-0', '/dev/nvme0n1'])
  })

  test('are not floppies, RAM disks or empty drives', async () => {
    expect(
      await namesOf([
        { kname: 'fd0' },
        { kname: 'ram0' },
        { kname: 'zram0' },
        { kname: 'sdz', size: 0 },
        { kname: 'vda' },
      ]),
    ).toEqual(['/dev/vda'])
  })

  test.each([
    ...['mtdblock0', 'mtdblock12', 'mmcblk0boot0', 'mmcblk1boot1', 'mmcblk0rpmb'],
    ...['pmem0', 'pmem0s', 'pmem1.2', 'ndblk0.0', 'ubiblock0_0', 'nvme0c1n1'],
  ])('are not %s', async (kname) => {
    expect(await namesOf([{ kname }, { kname: 'mmcblk0' }, { kname: 'vda' }])).toEqual([
      '/dev/mmcblk0',
      '/dev/vda',
    ])
  })

  test('are volumes of firmware RAID', async () => {
    const volume = { kname: 'dm-0', type: 'dmraid', size: 500 }
    const rows = ['sda', 'sdb'].map((kname) => ({ kname, children: [volume] }))
    expect(await namesOf(rows)).toEqual(['/dev/sda', '/dev/dm-0', '/dev/sdb'])
  })

  test('have the node of a kernel name with a slash in it, however it is spelt', async () => {
    const files = { '/sys/class/block/cciss!c0d0/device/vendor': 'HP' }
    for (const kname of ['cciss!c0d0', 'cciss/c0d0']) {
      await using machine = await machineWith(files, { lsblk: lsblkOutput([{ kname }]) })
      expect(await listDisks({ ...machine, listed: [] })).toMatchObject([
        { name: '/dev/cciss/c0d0', vendor: 'HP' },
      ])
    }
  })

  test('are not the paths of a multipath disk', async () => {
    const files = {
      '/sys/class/block/sda/holders/dm-0/x': '',
      '/sys/class/block/sdb/holders/dm-1/x': '',
      '/sys/class/block/dm-0/dm/uuid': 'mpath-36001405\n',
      '/sys/class/block/dm-1/dm/uuid': 'LVM-abc\n',
    }
    const rows = [
      { kname: 'sda' },
      { kname: 'sdb' },
      {
        kname: 'sdc',
        fstype: 'mpath_member',
        children: [{ kname: 'dm-0', type: 'mpath', size: 500 }],
      },
      { kname: 'sdd', children: [{ kname: 'dm-0', type: 'mpath', size: 500 }] },
    ]
    expect(await namesOf(rows, files)).toEqual(['/dev/sdb', '/dev/dm-0'])
  })
})

test('a disk carries what lsblk, udev and sysfs know of it', async () => {
  await using machine = await machineWith(
    {
      '/sys/class/block/sda/device/vendor': 'ATA     \n',
      '/sys/class/block/sda/device/scsi_device/2:0:1:0/x': '',
    },
    {
      lsblk: lsblkOutput([
        { kname: 'sda', model: 'SSD ', serial: 'S1', wwn: '0x5000', rota: true, tran: 'sas' },
      ]),
      'udevadm info': [
        'ID_WWN=0x5000c500',
        'ID_WWN_WITH_EXTENSION=0x5000c500aaaa',
        'ID_WWN_VENDOR_EXTENSION=0xaaaa',
        'ID_SERIAL_SHORT=S1',
        'ID_SERIAL=SSD_S1',
        'DEVLINKS=/dev/disk/by-id/x /dev/disk/by-path/pci-b /dev/disk/by-path/pci-a',
      ].join('\n'),
    },
  )
  expect(await listDisks({ ...machine, listed: [] })).toEqual([
    {
      name: '/dev/sda',
      model: 'SSD',
      sizeBytes: 107374182400,
      rotational: true,
      wwn: '0x5000',
      wwnWithExtension: '0x5000c500aaaa',
      wwnVendorExtension: '0xaaaa',
      serial: 'S1',
      vendor: 'ATA',
      hctl: '2:0:1:0',
      byPath: '/dev/disk/by-path/pci-a',
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
      transport: 'sas',
      serials: ['S1', 'SSD_S1'],
      wwns: ['0x5000', '0x5000c500'],
      links: ['/dev/disk/by-id/x', '/dev/disk/by-path/pci-a', '/dev/disk/by-path/pci-b'],
      partitions: [],
      raidVolumes: [],
      liesOn: [],
      isReadOnly: false,
      leftAlone: null,
      isListed: false,
    },
  ])
})

test('a disk has the links that lie below /dev/disk, its partitions theirs', async () => {
  await using machine = await machineWith(
    {
      '/dev/disk/by-path/pci-1-ata-1': '-> ../../sda',
      '/dev/disk/by-path/pci-1-ata-1.0': '-> ../../sda',
      '/dev/disk/by-path/pci-1-ata-1-part1': '-> ../../sda1',
      '/dev/disk/by-id/wwn-0x5000': '-> ../../sda',
    },
    {
      lsblk: lsblkOutput([{ kname: 'sda', children: [{ kname: 'sda1', type: 'part' }] }]),
      'udevadm info': 'DEVLINKS=/dev/disk/by-path/pci-1-ata-1 /dev/disk/by-diskseq/9',
    },
  )
  const [disk] = await listDisks({ ...machine, listed: [] })
  expect(disk?.links).toEqual([
    '/dev/disk/by-diskseq/9',
    '/dev/disk/by-id/wwn-0x5000',
    '/dev/disk/by-path/pci-1-ata-1',
    '/dev/disk/by-path/pci-1-ata-1.0',
  ])
  expect(disk?.partitions).toEqual([
    { name: '/dev/sda1', links: ['/dev/disk/by-path/pci-1-ata-1-part1'] },
  ])
})

describe('the serial number and the WWN of a disk', () => {
  const SAS = [
    'ID_SERIAL=35000c500aaaaaaab',
    'ID_SERIAL_SHORT=5000c500aaaaaaab',
    'ID_SCSI_SERIAL=ZC15TEST',
    'ID_WWN=0x5000c500aaaaaaaa',
  ]
  const disksOf = async (rows: Record<string, unknown>[], udev: Record<string, string[]>) => {
    const answers = Object.entries(udev).map(([kname, lines]) => [
      `udevadm info --query=property --name=/dev/${kname}`,
      lines.join('\n'),
    ])
    await using machine = await machineWith(
      {},
      { lsblk: lsblkOutput(rows), ...Object.fromEntries(answers) },
    )
    return await listDisks({ ...machine, listed: [] })
  }

  test('of a SAS disk are the number on its sticker and its WWN; hints take the others too', async () => {
    const row = { kname: 'sda', serial: 'ZC15TEST', wwn: '0x5000c500aaaaaaaa' }
    expect(await disksOf([row], { sda: SAS })).toMatchObject([
      {
        serial: 'ZC15TEST',
        wwn: '0x5000c500aaaaaaaa',
        serials: ['ZC15TEST', '5000c500aaaaaaab', '35000c500aaaaaaab'],
      },
    ])
  })

  test('of two LUNs of a target are two, where udev names the target', async () => {
    const lun = (kname: string, end: string) => ({ kname, wwn: `0x60014050${end}`, serial: end })
    const udev = ['ID_WWN=0x60014050', 'ID_SERIAL_SHORT=same']
    const disks = await disksOf([lun('sda', 'aa'), lun('sdb', 'bb')], { sda: udev, sdb: udev })
    expect(disks.map(({ wwn, serial }) => [wwn, serial])).toEqual([
      ['0x60014050aa', 'aa'],
      ['0x60014050bb', 'bb'],
    ])
  })

  test.each([
    ['short before long', SAS, '5000c500aaaaaaab'],
    ['long where the short one is empty', ['ID_SERIAL_SHORT=', 'ID_SERIAL=long'], 'long'],
    ["device-mapper's where udev's is empty", ['ID_SERIAL_SHORT=', 'DM_SERIAL_SHORT=dm'], 'dm'],
    ['none where all are empty', ['ID_SERIAL_SHORT=', 'ID_SERIAL='], null],
  ])("are udev's where lsblk has none: %s", async (_what, udev, serial) => {
    const [disk] = await disksOf([{ kname: 'sda' }], { sda: udev })
    expect(disk?.serial).toBe(serial)
    expect((await disksOf([{ kname: 'sda', serial: 'own' }], { sda: udev }))[0]?.serial).toBe('own')
  })
})

test('a multipath disk is described by the DM_ properties of udev', async () => {
  await using machine = await machineWith(
    {},
    {
      lsblk: lsblkOutput([{ kname: 'dm-0', type: 'mpath' }]),
      'udevadm info': 'DM_WWN=0x6001405\nDM_SERIAL=6001405abc\n',
    },
  )
  const [disk] = await listDisks({ ...machine, listed: [] })
  expect(disk).toMatchObject({ wwn: '0x6001405', serial: '6001405abc' })
})

test('without udev a disk has what lsblk knows', async () => {
  await using machine = await machineWith(
    {},
    { lsblk: lsblkOutput([{ kname: 'vda', serial: 'x' }]) },
  )
  const [disk] = await listDisks({ ...machine, listed: [] })
  expect(disk).toMatchObject({
    name: '/dev/vda',
    serial: 'x',
    serials: ['x'],
    wwns: [],
    byPath: null,
  })
})

describe('with the option block_devices', () => {
  test('only the listed ones are candidates: a regular file stands for a disk of its size', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ironswarm-listed-'))
    try {
      const path = join(folder, 'disk.img')
      await using file = await open(path, 'w')
      await file.truncate(10_485_760)
      await using machine = await machineWith({}, { lsblk: lsblkOutput([{ kname: 'sda' }]) })
      const disks = await listDisks({ ...machine, listed: [join(folder, 'absent'), path] })
      expect(disks).toMatchObject([{ name: path, sizeBytes: 10_485_760, isListed: true }])
      expect(machine.ran).toEqual([])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
