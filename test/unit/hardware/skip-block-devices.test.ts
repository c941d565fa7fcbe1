import { describe, expect, test } from 'vitest'
import { markSkipped, withoutSkipped } from '../../../agent/hardware/root-device-hints.ts'
import { diskWith } from './disk-fixture.ts'

describe('skip_block_devices', () => {
  const disks = [diskWith({ name: '/dev/sda' }), diskWith({ name: '/dev/sdb', vendor: 'NVME' })]

  test('takes out every disk that one of its entries matches', () => {
    expect(withoutSkipped(disks, [{ vendor: 'nvme' }]).map(({ name }) => name)).toEqual([
      '/dev/sda',
    ])
    expect(withoutSkipped(disks, [{ name: '/dev/sda' }, { name: '/dev/sdb' }])).toEqual([])
  })

  const parted = diskWith({
    partitions: [
      { name: '/dev/sda1', links: ['/dev/disk/by-path/pci-1-part1', '/dev/disk/by-partuuid/7'] },
      { name: '/dev/sda2', links: [] },
    ],
  })

  test.each<Record<string, string>>([
    { name: '/dev/sda2' },
    { name: 's== /dev/sda1' },
    { name: '<or> /dev/sdx <or> /dev/sda1' },
    { name: '/dev/disk/by-partuuid/7' },
    { by_path: '/dev/disk/by-path/pci-1-part1' },
    { name: '/dev/sda1', tran: 'sata' },
  ])('keeps the whole disk when an entry names one of its partitions: %j', (entry) => {
    expect(withoutSkipped([parted], [entry])).toEqual([])
  })

  test.each<Record<string, string>>([
    { name: '/dev/sda3' },
    { name: '/dev/sda1', tran: 'nvme' },
    { name: 's!= /dev/sda' },
    { name: 's> /dev/sda' },
    { model: 's!= SAMSUNG MZ7KM480' },
  ])('does not keep a disk because an entry excludes something else: %j', (entry) => {
    expect(withoutSkipped([parted], [entry])).toEqual([parted])
  })

  test('takes out nothing for an empty entry or the name of a volume to be made', () => {
    expect(withoutSkipped(disks, [{}, { volume_name: 'large' }])).toEqual(disks)
  })
})

test('a RAID volume that skip_block_devices names is no root disk, nor is a member of it', () => {
  const member = diskWith({ name: '/dev/sdb', raidVolumes: ['data'] })
  const other = diskWith({ name: '/dev/sdc', raidVolumes: ['scratch'] })
  const [kept, free] = markSkipped([member, other], [{ volume_name: 'data' }])
  expect(kept?.leftAlone).toEqual({
    reason: 'skip_block_devices names its RAID volume data',
    isWanted: true,
  })
  expect(free?.leftAlone).toBeNull()
})

test('of several names some may be links and others none', () => {
  const disk = diskWith({ name: '/dev/sda', links: [] })
  const entry = { name: '<or> /dev/sda <or> /dev/disk/by-id/x' }
  expect(withoutSkipped([disk], [entry])).toEqual([])
  expect(withoutSkipped([disk], [{ name: 's!= /dev/disk/by-id/boot' }])).toEqual([])
})

test('an array on a disk that is skipped is left alone too, and what lies on that array', () => {
  const disks = [
    diskWith({ name: '/dev/sda', serials: ['S1'] }),
    diskWith({ name: '/dev/md127', liesOn: ['/dev/sda1', '/dev/sda', '/dev/sdb'], serials: [] }),
    diskWith({ name: '/dev/md126', liesOn: ['/dev/md127', '/dev/sda'], serials: [] }),
    diskWith({ name: '/dev/md125', liesOn: ['/dev/sdc'], serials: [] }),
  ]
  const marked = markSkipped(disks, [{ serial: 'S1' }])
  expect(marked.map(({ leftAlone }) => leftAlone?.isWanted ?? false)).toEqual([
    true,
    true,
    true,
    false,
  ])
  expect(marked[1]?.leftAlone?.reason).toBe('it lies on /dev/sda: skip_block_devices excludes it')
})

test('an array on a disk that a hardware manager hides is left alone too', () => {
  const reason = 'a hardware manager hides it'
  const marked = markSkipped(
    [
      diskWith({ name: '/dev/sda', isHidden: true, leftAlone: { reason, isWanted: true } }),
      diskWith({ name: '/dev/md127', liesOn: ['/dev/sda1', '/dev/sda'], serials: [] }),
      diskWith({ name: '/dev/sdb' }),
    ],
    [],
  )
  expect(marked.map(({ leftAlone }) => leftAlone?.reason)).toEqual([
    reason,
    `it lies on /dev/sda: ${reason}`,
    undefined,
  ])
})
