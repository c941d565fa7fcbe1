// Arrays on loop devices: real tables by sgdisk, read by sfdisk; md itself is in test/e2e/vm/raid-configuration.test.ts.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { GiB, MiB } from '../../../agent/core/units.ts'
import { listDisks } from '../../../agent/hardware/collectors/disks.ts'
import { createArrays } from '../../../agent/hardware/raid/create.ts'
import { deleteArrays } from '../../../agent/hardware/raid/delete.ts'
import { exec } from '../../../agent/system/exec.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { createRaidMachine, type RaidMachineOptions } from './raid-machine.ts'

const run = promisify(execFile)
const SIZES = { count: 2, sizeBytes: 1280 * MiB } as const
const signal = new AbortController().signal
const events = { publish: () => undefined }

const logical = (changes: Record<string, unknown>) => ({ controller: 'software', ...changes })
const TWO_ARRAYS = {
  logical_disks: [
    logical({ raid_level: '1', size_gb: 1, volume_name: 'root' }),
    logical({ raid_level: '1+0', size_gb: 'MAX', volume_name: 'data' }),
  ],
}
const nodeOf = (mode: string) => ({ properties: { capabilities: `boot_mode:${mode},x:y` } })

/** Start and size of each partition in bytes, by sfdisk, after sgdisk found nothing wrong; undefined without a table. */
async function tableOf(
  path: string,
  expected: 'gpt' | 'dos' = 'gpt',
): Promise<[number, number][] | undefined> {
  const { stdout } = await run('sfdisk', ['--json', path]).catch(() => ({ stdout: '' }))
  if (stdout === '') return undefined
  const { partitiontable } = JSON.parse(stdout)
  expect(partitiontable.label).toBe(expected)
  const verify = expected === 'gpt' ? ['sgdisk', '--verify'] : ['sfdisk', '--verify']
  const verified = await run(verify[0] ?? '', [verify[1] ?? '', path])
  expect(verified.stdout).toContain(expected === 'gpt' ? 'No problems found' : 'No errors detected')
  const { sectorsize = 512, partitions = [] } = partitiontable
  return partitions.map(({ start, size }: { start: number; size: number }) => [
    start * sectorsize,
    size * sectorsize,
  ])
}

async function isEmpty(path: string): Promise<boolean> {
  const { stdout } = await run('wipefs', ['--noheadings', path])
  return stdout === '' && (await tableOf(path)) === undefined
}

describe.skipIf(!hasLoopDevices('RAID'))('making arrays', () => {
  test.each([
    ['uefi', 512, 551 * MiB],
    ['bios', 512, 8 * MiB],
    ['uefi', 4096, 551 * MiB],
  ] as const)(
    'leaves room for a %s boot loader on disks with sectors of %i',
    async (mode, sectorBytes, first) => {
      await using machine = await createRaidMachine({ ...SIZES, sectorBytes })
      await createArrays(machine.deps, nodeOf(mode), TWO_ARRAYS, signal)
      for (const { path } of machine.disks) {
        expect(await tableOf(path)).toEqual([
          [first, GiB - first],
          [GiB, 255 * MiB],
        ])
      }
      const parts = (number: number) =>
        machine.disks.map(({ path }) => `${path}p${number}`).join(' ')
      const words = '--run --force --metadata=1.2'
      expect(machine.mdadm).toEqual([
        `mdadm --create /dev/md0 ${words} --level=1 --name=root --homehost=any --raid-devices=2 ${parts(1)}`,
        `mdadm --create /dev/md1 ${words} --level=10 --name=data --homehost=any --raid-devices=2 ${parts(2)}`,
      ])
    },
  )

  test.each([512, 4096] as const)(
    'writes an MBR where the node has disk_label:msdos, with sectors of %i',
    async (sectorBytes) => {
      await using machine = await createRaidMachine({ ...SIZES, sectorBytes })
      const node = { properties: { capabilities: 'boot_mode:bios,disk_label:msdos' } }
      await createArrays(machine.deps, node, TWO_ARRAYS, signal)
      for (const { path } of machine.disks) {
        expect(await tableOf(path, 'dos')).toEqual([
          [MiB, GiB - MiB],
          [GiB, 255 * MiB],
        ])
        const { stdout } = await run('sfdisk', ['--part-type', path, '1'])
        expect(stdout.trim()).toBe('fd')
      }
      await deleteArrays(machine.deps, node, { signal, events })
      for (const { path } of machine.disks) expect(await isEmpty(path)).toBe(true)
    },
  )

  test('adds a member that mdadm left out', async () => {
    const leftOut = (member: string) => member.endsWith('p2')
    await using machine = await createRaidMachine({ ...SIZES, leftOut })
    await createArrays(machine.deps, undefined, TWO_ARRAYS, signal)
    const added = machine.mdadm.filter((line) => line.includes('--add'))
    expect(added).toEqual(
      machine.disks.map(({ path }) => `mdadm --manage /dev/md1 --add ${path}p2`),
    )
  })

  const FAILURES: [string, Partial<RaidMachineOptions>, RegExp][] = [
    [
      'the second array cannot be made',
      {
        beforeMdadm: (line) => {
          if (line.includes('--create /dev/md1')) throw new AgentError('ProcessError', 'mdadm: no')
        },
      },
      /mdadm: no; it was taken back$/,
    ],
    [
      'a member cannot be added',
      {
        leftOut: (member) => member.endsWith('p1'),
        beforeMdadm: (line) => {
          if (line.includes('--add')) throw new AgentError('ProcessError', 'mdadm: busy')
        },
      },
      /mdadm: busy; it was taken back$/,
    ],
  ]
  test.each(FAILURES)('takes everything back when %s', async (_, options, words) => {
    await using machine = await createRaidMachine({ ...SIZES, ...options })
    const making = createArrays(machine.deps, undefined, TWO_ARRAYS, signal)
    await expect(making).rejects.toThrow(words)
    await expect(making).rejects.toMatchObject({ type: 'SoftwareRAIDError' })
    expect([...machine.arrays]).toEqual([])
    for (const { path } of machine.disks) expect(await isEmpty(path)).toBe(true)
  })

  test('takes everything back when it is told to end', async () => {
    const ending = new AbortController()
    const beforeMdadm = (line: string) => {
      if (line.includes('--create')) ending.abort()
    }
    await using machine = await createRaidMachine({ ...SIZES, beforeMdadm })
    await expect(createArrays(machine.deps, undefined, TWO_ARRAYS, ending.signal)).rejects.toThrow(
      /taken back$/,
    )
    expect([...machine.arrays]).toEqual([])
    for (const { path } of machine.disks) expect(await isEmpty(path)).toBe(true)
  })

  test('says what could not be taken back', async () => {
    const beforeMdadm = (line: string) => {
      if (!line.includes('--create /dev/md0')) throw new AgentError('ProcessError', 'mdadm: busy')
    }
    await using machine = await createRaidMachine({ ...SIZES, beforeMdadm })
    await expect(createArrays(machine.deps, undefined, TWO_ARRAYS, signal)).rejects.toThrow(
      /not taken back: \/dev\/md0: .*mdadm: busy/,
    )
  })

  test('refuses a disk with partitions before it touches any', async () => {
    await using machine = await createRaidMachine(SIZES)
    const second = machine.disks[1]?.path ?? ''
    await run('sgdisk', ['--new=1:0:+100M', second])
    await expect(createArrays(machine.deps, undefined, TWO_ARRAYS, signal)).rejects.toThrow(
      /has partitions \(.*\), and a new array takes disks without any; run delete_configuration/,
    )
    expect(await tableOf(machine.disks[0]?.path ?? '')).toBeUndefined()
    expect(await tableOf(second)).toHaveLength(1)
    expect(machine.mdadm).toEqual([])
  })

  test('deleting takes what was made away, arrays and tables', async () => {
    await using machine = await createRaidMachine(SIZES)
    await createArrays(machine.deps, undefined, TWO_ARRAYS, signal)
    await deleteArrays(machine.deps, undefined, { signal, events })
    expect([...machine.arrays]).toEqual([])
    expect(machine.mdadm.slice(2)).toEqual([
      'mdadm --assemble --scan',
      'mdadm --stop /dev/md0',
      'mdadm --stop /dev/md1',
    ])
    for (const { path } of machine.disks) expect(await isEmpty(path)).toBe(true)
  })

  test.each([
    ['the first array', [0, 1], 'md0'],
    ['the second array', [2, 3], 'md1'],
    ['none, where each lies on disks that are not listed too', [1, 2], undefined],
  ])('deleting with block_devices takes %s away', async (_, places, deleted) => {
    await using machine = await createRaidMachine({ ...SIZES, count: 4 })
    const onDisks = (...serials: string[]) => ({
      physical_disks: serials.map((serial) => ({ serial })),
    })
    const config = {
      logical_disks: [
        logical({ raid_level: '1', size_gb: 1, volume_name: 'root', ...onDisks('s0', 's1') }),
        logical({ raid_level: '0', size_gb: 1, volume_name: 'data', ...onDisks('s2', 's3') }),
      ],
    }
    await createArrays(machine.deps, undefined, config, signal)
    const before = await Promise.all(machine.disks.map(({ path }) => tableOf(path)))
    expect(before.map((table) => table?.length)).toEqual([1, 1, 1, 1])

    const listed = places.map((place) => machine.disks[place]?.path ?? '')
    const listOldMembers = () =>
      listDisks({ exec, root: machine.deps.root, listed, erasesRaidMembers: true })
    const deps = { ...machine.deps, listed, listOldMembers }
    await deleteArrays(deps, undefined, { signal, events })
    expect([...machine.arrays.keys()]).toEqual(['md0', 'md1'].filter((name) => name !== deleted))
    const after = await Promise.all(machine.disks.map(({ path }) => tableOf(path)))
    expect(after).toEqual(
      before.map((table, i) => (deleted && places.includes(i) ? undefined : table)),
    )
  })

  test('deleting fails with what is left where an array comes back', async () => {
    await using machine = await createRaidMachine(SIZES)
    const names = machine.disks.map(({ path }) => path.slice('/dev/'.length))
    machine.arrays.set('md7', names)
    const exec: typeof machine.deps.exec = async (argv, options) => {
      const answer = await machine.deps.exec(argv, options)
      if (argv[1] === '--stop') machine.arrays.set('md7', names)
      return answer
    }
    const deps = { ...machine.deps, exec }
    await expect(deleteArrays(deps, undefined, { signal, events })).rejects.toThrow(
      /arrays after 2 tries to delete them: \/dev\/md7/,
    )
  })
})
