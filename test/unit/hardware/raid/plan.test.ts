import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../../../agent/core/units.ts'
import type { Disk } from '../../../../agent/hardware/inventory.ts'
import { planRaid } from '../../../../agent/hardware/raid/plan.ts'
import type { LogicalDisk } from '../../../../agent/hardware/raid/target-config.ts'
import { diskWith } from '../disk-fixture.ts'

const UEFI = 551 * MiB
const BIOS = 8 * MiB

const gpt = (firstByte: number) => ({ label: 'gpt', firstByte }) as const

const disksOf = (count: number, changes: Partial<Disk> = {}) =>
  Array.from({ length: count }, (_, i) =>
    diskWith({ name: `/dev/sd${'abcdef'[i]}`, serials: [`s${i}`], ...changes }),
  )
const arrayOf = (changes: Partial<LogicalDisk> = {}): LogicalDisk => ({
  size: 'MAX',
  level: '1',
  volumeName: 'md0',
  isRootVolume: undefined,
  physicalDisks: undefined,
  ...changes,
})

describe('members', () => {
  test('end at whole GiB of the disk, and the first begins behind the boot loader', () => {
    const arrays = [arrayOf({ size: 20 }), arrayOf({ volumeName: 'md1', size: 'MAX', level: '0' })]
    const plan = planRaid(disksOf(2), arrays, gpt(UEFI))
    for (const { partitions } of plan.disks) {
      expect(partitions).toEqual([
        { volumeName: 'md0', range: { offset: UEFI, length: 20 * GiB - UEFI } },
        { volumeName: 'md1', range: { offset: 20 * GiB, length: 80 * GiB - MiB } },
      ])
    }
    expect(plan.arrays.map(({ members }) => members)).toEqual([
      [
        { disk: '/dev/sda', partition: 1 },
        { disk: '/dev/sdb', partition: 1 },
      ],
      [
        { disk: '/dev/sda', partition: 2 },
        { disk: '/dev/sdb', partition: 2 },
      ],
    ])
  })

  test('lie on the disks that the hints name, each disk once an array', () => {
    const [a, b, c] = ['s0', 's1', 's2'].map((serial) => ({ serial }))
    const arrays = [
      arrayOf({ physicalDisks: [b ?? {}, a ?? {}] }),
      arrayOf({ volumeName: 'md1', physicalDisks: [c ?? {}, { size: '100' }], size: 10 }),
    ]
    const plan = planRaid(
      disksOf(4),
      [arrays[1] as LogicalDisk, arrays[0] as LogicalDisk],
      gpt(BIOS),
    )
    expect(plan.arrays.map(({ members }) => members)).toEqual([
      [
        { disk: '/dev/sdc', partition: 1 },
        { disk: '/dev/sda', partition: 1 },
      ],
      [
        { disk: '/dev/sdb', partition: 1 },
        { disk: '/dev/sda', partition: 2 },
      ],
    ])
    expect(plan.disks.map(({ disk }) => disk.name)).toEqual(['/dev/sdc', '/dev/sda', '/dev/sdb'])
  })

  test('are all disks without hints, but for those that the operator keeps and read-only ones', () => {
    const kept = { reason: 'skip_block_devices excludes it', isWanted: true }
    const disks = [
      ...disksOf(2),
      diskWith({ name: '/dev/sdx', leftAlone: kept }),
      diskWith({ name: '/dev/sdy', isReadOnly: true }),
    ]
    const { members } = planRaid(disks, [arrayOf()], gpt(BIOS)).arrays[0] ?? {}
    expect(members?.map(({ disk }) => disk)).toEqual(['/dev/sda', '/dev/sdb'])
  })

  test('never overlap, nor lie over boot space, table or the end of the disk', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 2 })
    const places = fc.constantFrom(UEFI, BIOS)
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 100 * 1024 }), places, (gib, mib, bootSpace) => {
        const sizeBytes = mib * MiB + 512
        for (const ranges of rangesOf(gib, sizeBytes, bootSpace)) {
          const ends = [bootSpace, ...ranges.map(({ offset, length }) => offset + length)]
          ranges.forEach(({ offset, length }, i) => {
            expect(offset).toBeGreaterThanOrEqual(ends[i] ?? 0)
            expect([offset % MiB, length % MiB]).toEqual([0, 0])
            expect(length).toBeGreaterThan(0)
          })
          expect(ends.at(-1)).toBeLessThanOrEqual(sizeBytes - MiB)
        }
      }),
    )
  })
})

/** By disk; none where the disks are too small, and that is what the refusal says. */
function rangesOf(gib: readonly number[], sizeBytes: number, bootSpace: number) {
  const arrays = gib.map((size, i) =>
    arrayOf({ size: i === 1 ? 'MAX' : size, volumeName: `md${i}` }),
  )
  try {
    const { disks } = planRaid(disksOf(2, { sizeBytes }), arrays, gpt(bootSpace))
    return disks.map(({ partitions }) => partitions.map(({ range }) => range))
  } catch (error) {
    expect(String(error)).toMatch(/takes .* of each of its disks/)
    return []
  }
}

describe('a plan is refused, with what there is,', () => {
  const held = { reason: 'sdb1 is a member of the RAID array md127', isWanted: false }
  const hints = (...names: string[]) => names.map((name) => ({ name: `/dev/${name}` }))
  const CASES: [string, readonly Disk[], LogicalDisk[], RegExp][] = [
    [
      'without disks',
      [],
      [arrayOf()],
      /md0 is RAID 1, which takes 2 disks or more; there are 0: none/,
    ],
    ['with one disk', disksOf(1), [arrayOf()], /there is 1: \/dev\/sda \(100.0 GiB/],
    ['for level 5 of two', disksOf(2), [arrayOf({ level: '5' })], /RAID 5, which takes 3/],
    ['for level 6 of three', disksOf(3), [arrayOf({ level: '6' })], /RAID 6, which takes 4/],
    [
      'where a disk is a member already',
      [...disksOf(1), diskWith({ name: '/dev/sdb', leftAlone: held })],
      [arrayOf()],
      /\/dev\/sdb is not free for an array: sdb1 is a member .*run delete_configuration first/,
    ],
    [
      'where no disk is hinted at',
      disksOf(2),
      [arrayOf({ physicalDisks: hints('sda', 'sdz') })],
      /no disk for md0 matches \{"name":"\/dev\/sdz"\}; disks of this machine: \/dev\/sda \(100/,
    ],
    [
      'where two hints mean one disk',
      disksOf(2),
      [arrayOf({ physicalDisks: hints('sda', 'sda') })],
      /but those that earlier hints have taken/,
    ],
    [
      'where a disk is too small',
      [...disksOf(1), diskWith({ name: '/dev/sdb', sizeBytes: 10 * GiB })],
      [arrayOf({ size: 10 })],
      /md0 takes 10 GiB of each of its disks, and \/dev\/sdb \(10.0 GiB .*ask for less, for MAX/,
    ],
    [
      'where nothing is left for MAX',
      disksOf(2, { sizeBytes: 10 * GiB + 8 * MiB }),
      [arrayOf({ size: 10 }), arrayOf({ volumeName: 'data' })],
      /data takes at least 16.0 MiB of each/,
    ],
  ]
  test.each(CASES)('%s', (_, disks, arrays, words) => {
    expect(() => planRaid(disks, arrays, gpt(BIOS))).toThrow(words)
  })
})

describe('members on disks with an MBR', () => {
  const TiB = 1024 * GiB
  const msdos = { label: 'msdos', firstByte: MiB } as const

  test('begin at 1 MiB', () => {
    const plan = planRaid(disksOf(2), [arrayOf({ size: 20 })], msdos)
    expect(plan.disks.map(({ label, partitions }) => [label, partitions[0]?.range])).toEqual(
      Array(2).fill(['msdos', { offset: MiB, length: 20 * GiB - MiB }]),
    )
  })

  test.each([
    [512, 2],
    [4096, 16],
  ])(
    'end where it reaches, with sectors of %i bytes at %i TiB',
    (logicalSectorBytes, tebibytes) => {
      const disks = disksOf(2, { sizeBytes: 20 * TiB, logicalSectorBytes })
      const size = tebibytes * 1024
      expect(planRaid(disks, [arrayOf({ size })], msdos).disks).toHaveLength(2)
      for (const more of [size + 1, 'MAX'] as const) {
        expect(() => planRaid(disks, [arrayOf({ size: more })], msdos)).toThrow(
          /an MBR reaches \d+\.0 TiB; use a GPT \(capability disk_label:gpt\)/,
        )
      }
    },
  )
})
