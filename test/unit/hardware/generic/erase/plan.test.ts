import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Config, OPTIONS } from '../../../../../agent/config/options.ts'
import type { JsonObject } from '../../../../../agent/core/json.ts'
import { MiB } from '../../../../../agent/core/units.ts'
import { planErasure } from '../../../../../agent/hardware/generic/erase/plan.ts'
import { createLogger } from '../../../../../agent/telemetry/logger.ts'
import { diskWith } from '../../disk-fixture.ts'
import { lsblkOutput, machineWith } from '../../machine-fixture.ts'

const GUARDED = Object.fromEntries(
  Object.entries(OPTIONS).map(([name, row]) => [name, row.default]),
) as unknown as Config
const MEMBERS_ERASED: Config = { ...GUARDED, erase_raid_members: true }
const UNGUARDED: Config = { ...GUARDED, guard_special_filesystems: false }

type Row = Record<string, unknown>

/** The plan for a machine whose lsblk says `rows`; its disks are those of type `disk`. */
async function planFor(
  rows: readonly Row[],
  options: {
    config?: Config
    node?: JsonObject
    holders?: Record<string, string>
    answers?: Record<string, string>
    /** Names of disks that lsblk calls otherwise. */
    alsoDisks?: readonly string[]
  } = {},
) {
  const files = Object.fromEntries(
    Object.entries(options.holders ?? {}).map(([kname, holder]) => [
      `/sys/class/block/${kname}/holders/${holder}`,
      '',
    ]),
  )
  await using machine = await machineWith(files, {
    lsblk: lsblkOutput(rows),
    ...options.answers,
  })
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  const names = rows
    .map(({ kname, type = 'disk' }) => ({ kname, type }))
    .filter(({ kname, type }) => type === 'disk' || options.alsoDisks?.includes(String(kname)))
    .map(({ kname }) => kname)
  const plan = await planErasure(
    {
      config: options.config ?? GUARDED,
      exec: machine.exec,
      root: machine.root,
      log,
      listDisks: async () => names.map((kname) => diskWith({ name: `/dev/${kname}` })),
    },
    options.node,
  )
  return {
    disks: plan.disks.map(({ name }) => name),
    readOnly: plan.readOnly.map(({ name }) => name),
    leftAlone: plan.leftAlone,
    log: lines.join(''),
  }
}

describe('the disks that are left alone', () => {
  test('are none on a machine with nothing special', async () => {
    const rows = [{ kname: 'sdx' }, { kname: 'sdx1', type: 'part', pkname: 'sdx', fstype: 'ext4' }]
    expect(await planFor([...rows, { kname: 'sdy' }])).toMatchObject({
      disks: ['/dev/sdx', '/dev/sdy'],
      readOnly: [],
    })
  })

  test('are virtual media by their label', async () => {
    const medium = { kname: 'sdx', label: 'ir-vfd-dev', tran: 'usb', size: 1440 * 1024 }
    const { disks, log } = await planFor([medium, { kname: 'sdy' }])
    expect(disks).toEqual(['/dev/sdy'])
    expect(log).toContain('virtual medium')
  })

  test('are not those of a tenant who wrote that label on a disk', async () => {
    const disk = { kname: 'sdx', label: 'ir-vfd-dev', tran: 'sata' }
    expect((await planFor([disk])).disks).toEqual(['/dev/sdx'])
  })

  const member = { kname: 'sdx1', type: 'part', pkname: 'sdx', fstype: 'linux_raid_member' }

  test('are the members of an assembled RAID array', async () => {
    const rows = [{ kname: 'sdx' }, { ...member, label: 'host:root' }, { kname: 'sdy' }]
    const { disks, log } = await planFor(rows, { holders: { sdx1: 'md127' } })
    expect(disks).toEqual(['/dev/sdy'])
    expect(log).toContain('sdx1 is a member of the RAID array md127')
  })

  test('are the members of an array that nothing has assembled', async () => {
    const rows = [{ kname: 'sdx' }, { ...member, label: 'host:root' }, { kname: 'sdy' }]
    const { disks, leftAlone } = await planFor(rows)
    expect(disks).toEqual(['/dev/sdy'])
    expect(leftAlone).toEqual([
      {
        name: '/dev/sdx',
        reason: expect.stringMatching(
          /^sdx1 is a member of the RAID array host:root by its signature linux_raid_member/,
        ),
        isWanted: false,
      },
    ])
  })

  test('are none of these with erase_raid_members, but for those that something holds', async () => {
    const rows = [
      { kname: 'sdx' },
      { ...member, label: 'host:root' },
      { kname: 'sdy', fstype: 'isw_raid_member' },
      { kname: 'sdz', fstype: 'isw_raid_member' },
    ]
    const plan = await planFor(rows, { config: MEMBERS_ERASED, holders: { sdz: 'md126' } })
    expect(plan.disks).toEqual(['/dev/sdx', '/dev/sdy'])
  })

  test('are the disks and the array of a RAID volume that skip_block_devices names', async () => {
    const array = { kname: 'md127', type: 'raid1', pkname: 'sdx1' }
    const rows = [{ kname: 'sdx' }, { ...member, label: 'host:kept' }, array, { kname: 'sdy' }]
    const kept = { properties: { skip_block_devices: [{ volume_name: 'kept' }] } }
    for (const config of [GUARDED, MEMBERS_ERASED]) {
      const plan = await planFor(rows, { node: kept, config, alsoDisks: ['md127'] })
      expect(plan.disks).toEqual(['/dev/sdy'])
      expect(plan.leftAlone).toMatchObject([
        {
          name: '/dev/sdx',
          reason: 'skip_block_devices names its RAID volume kept',
          isWanted: true,
        },
        { name: '/dev/md127', isWanted: true },
      ])
    }
    const other = { properties: { skip_block_devices: [{ volume_name: 'other' }] } }
    const plan = await planFor(rows.toSpliced(2, 1), { node: other, config: MEMBERS_ERASED })
    expect(plan.disks).toEqual(['/dev/sdx', '/dev/sdy'])
  })

  test('are members by a superblock that only the disk itself shows', async () => {
    const answers = { 'blkid --probe --usages=raid': 'ddf_raid_member\n' }
    const { disks, leftAlone } = await planFor([{ kname: 'sdx' }], { answers })
    expect(disks).toEqual([])
    expect(leftAlone[0]?.reason).toContain(
      '/dev/sdx is a member of a RAID array by its signature ddf',
    )
  })

  test('are told apart when they are write-protected', async () => {
    expect(await planFor([{ kname: 'sdx', ro: true }, { kname: 'sdy' }])).toMatchObject({
      disks: ['/dev/sdy'],
      readOnly: ['/dev/sdx'],
    })
  })
})

describe('guard_special_filesystems', () => {
  const part = { kname: 'sdx1', type: 'part', pkname: 'sdx' }
  const SPECIAL: [string, Row][] = [
    ['GPFS', { ...part, parttype: '37affc90-ef7d-4e96-91c3-2d7ae055b174' }],
    ['GPFS', { ...part, parttype: '37AFFC90-EF7D-4E96-91C3-2D7AE055B174' }],
    ['VMFS', { ...part, parttype: 'aa31e02a-400f-11db-9590-000c2911d1b8' }],
    ['VMFS', { ...part, parttype: '0xfb' }],
    ['VMFS', { ...part, fstype: 'VMFS_volume_member' }],
    ['GFS2', { ...part, fstype: 'gfs2' }],
    ['GFS2', { kname: 'dm-3', type: 'lvm', pkname: 'sdx', fstype: 'gfs2' }],
  ]

  test.each(SPECIAL)('keeps every disk when one has %s (%j)', async (name, row) => {
    const plan = planFor([{ kname: 'sdw' }, { kname: 'sdx' }, row])
    await expect(plan).rejects.toMatchObject({
      type: 'ProtectedDeviceError',
      details: expect.stringMatching(new RegExp(`${name} on /dev/sdx`)),
    })
  })

  test('switched off, lets them be erased', async () => {
    const rows = [{ kname: 'sdx' }, SPECIAL[0]?.[1] ?? {}]
    expect((await planFor(rows, { config: UNGUARDED })).disks).toEqual(['/dev/sdx'])
  })

  test.each([true, false])(
    'is not switched off by wipe_special_filesystems=%s, which can be read both ways',
    async (value) => {
      const node = { driver_internal_info: { wipe_special_filesystems: value } }
      const plan = planFor([{ kname: 'sdx' }, SPECIAL[5]?.[1] ?? {}], { node })
      await expect(plan).rejects.toMatchObject({ type: 'ProtectedDeviceError' })
    },
  )

  test('does not mind a special file system on a disk that is left alone', async () => {
    const rows = [{ kname: 'sdx', ro: true }, SPECIAL[5]?.[1] ?? {}]
    expect((await planFor(rows)).readOnly).toEqual(['/dev/sdx'])
  })

  test('reads the partition table itself, where the kernel knows no partitions', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ironswarm-guard-'))
    try {
      const path = join(folder, 'disk')
      const disk = Buffer.alloc(2 * MiB)
      disk.set([0, 0, 0, 0, 0xfb, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 446)
      disk.writeUInt16LE(0xaa55, 510)
      await writeFile(path, disk)
      await using machine = await machineWith({}, { lsblk: '' })
      const log = createLogger({ level: 'silent' })
      const listDisks = async () => [diskWith({ name: path })]
      const plan = planErasure({ ...machine, config: GUARDED, log, listDisks }, undefined)
      await expect(plan).rejects.toMatchObject({ type: 'ProtectedDeviceError' })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
