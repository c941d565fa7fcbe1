// Boot partitions on disks that are members already: read back by sfdisk, sgdisk and the kernel.
import { execFile } from 'node:child_process'
import { open, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../../agent/core/units.ts'
import { ensureBootPartitions } from '../../../agent/disk/md/boot-partition.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { findBlockDevice, formatDeviceNumber } from '../../../agent/system/sysfs.ts'
import { createLoopDevice, hasLoopDevices, type LoopDevice } from '../../support/loop-device.ts'

const run = promisify(execFile)
const root = createRoot('/')
const deps = { exec, root, signal: new AbortController().signal }

interface Member extends AsyncDisposable {
  readonly path: string
  readonly loop: LoopDevice
}

/** A disk with one partition from `firstMiB` on, which something holds open. */
async function createMember(
  firstMiB: number,
  { sectorBytes = 512, label = 'gpt' }: { sectorBytes?: 512 | 4096; label?: 'gpt' | 'dos' } = {},
): Promise<Member> {
  await using stack = new AsyncDisposableStack()
  const sizeBytes = (firstMiB + 32) * MiB
  const loop = stack.use(await createLoopDevice({ sizeBytes, sectorBytes }))
  const sfdisk = run('sfdisk', ['--quiet', '--wipe=always', loop.path])
  const [start, size] = [firstMiB, 16].map((mib) => (mib * MiB) / sectorBytes)
  sfdisk.child.stdin?.end(`label: ${label}\nstart=${start},size=${size}\n`)
  await sfdisk
  await run('partx', ['--update', loop.path])
  const held = await open(`${loop.path}p1`, 'r')
  stack.defer(() => held.close())
  const owned = stack.move()
  return { path: loop.path, loop, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function deviceOf({ path }: Member) {
  const device = await findBlockDevice(root, formatDeviceNumber((await stat(path)).rdev))
  if (device === undefined) throw new Error(`${path} is no block device`)
  return device
}

async function tableOf(path: string) {
  const { stdout } = await run('sfdisk', ['--json', path])
  const { sectorsize = 512, partitions } = JSON.parse(stdout).partitiontable
  return partitions.map((each: { start: number; size: number; type: string; name?: string }) => ({
    start: (each.start * sectorsize) / MiB,
    size: (each.size * sectorsize) / MiB,
    type: each.type,
    name: each.name ?? '',
  }))
}

const ESP = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
const BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649'

describe.skipIf(!hasLoopDevices('boot partitions of members'))('a member of an array', () => {
  test.each([
    ['esp', 551, 512, { size: 550, type: ESP, name: 'uefi-holder' }],
    ['esp', 551, 4096, { size: 550, type: ESP, name: 'uefi-holder' }],
    ['bios', 8, 512, { size: 2, type: BIOS_BOOT, name: 'bios-boot-part' }],
    ['bios', 551, 512, { size: 2, type: BIOS_BOOT, name: 'bios-boot-part' }],
  ] as const)(
    'gets its %s partition before the first one at %i MiB, sectors of %i bytes, and keeps it',
    async (kind, firstMiB, sectorBytes, { name, ...expected }) => {
      await using first = await createMember(firstMiB, { sectorBytes })
      await using second = await createMember(firstMiB, { sectorBytes })
      const disks = [await deviceOf(first), await deviceOf(second)]
      const made = await ensureBootPartitions(disks, kind, deps)
      expect(made).toEqual(
        [first, second].map(({ path }) => ({
          ...{ disk: path, number: 2, node: `${path}p2` },
          sizeBytes: expected.size * MiB,
        })),
      )
      for (const [i, { path }] of [first, second].entries()) {
        const table = await tableOf(path)
        expect(table).toHaveLength(2)
        expect(table).toContainEqual({ start: 1, ...expected, name: `${name}-${i}` })
        const verified = await run('sgdisk', ['--verify', path])
        expect(verified.stdout).toContain('No problems found')
        const bytes = await run('blockdev', ['--getsize64', `${path}p2`])
        expect(Number(bytes.stdout)).toBe(expected.size * MiB)
      }
      expect(await ensureBootPartitions(disks, kind, deps)).toEqual(made)
      expect(await tableOf(first.path)).toHaveLength(2)
    },
  )

  test('needs no partition for GRUB beside an MBR, and its table stays', async () => {
    await using member = await createMember(8, { label: 'dos' })
    const before = await tableOf(member.path)
    expect(await ensureBootPartitions([await deviceOf(member)], 'bios', deps)).toEqual([])
    expect(await tableOf(member.path)).toEqual(before)
  })

  test.each([
    ['its first partition begins at 8.0 MiB', 'gpt', 'uefi'],
    ['its table is an MBR', 'dos', 'uefi'],
  ] as const)('is refused where %s', async (words, label, mode) => {
    await using member = await createMember(8, { label })
    const before = await tableOf(member.path)
    const making = ensureBootPartitions([await deviceOf(member)], 'esp', deps)
    await expect(making).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringMatching(new RegExp(`${words}.*boot_mode:${mode}`)),
    })
    expect(await tableOf(member.path)).toEqual(before)
  })

  test('is refused where the kernel still has another partition of that number', async () => {
    await using member = await createMember(551)
    const sgdisk = ['--new=2:1163264:+8M', '--typecode=2:8300', member.path]
    await run('sgdisk', sgdisk)
    await run('partx', ['--add', '--nr', '2', member.path])
    // the table leads elsewhere; nobody has told the kernel
    await run('sgdisk', ['--delete=2', '--new=2:2048:+550M', '--typecode=2:ef00', member.path])
    const { path } = member
    const making = ensureBootPartitions([await deviceOf(member)], 'esp', {
      ...deps,
      signal: AbortSignal.timeout(5000),
    })
    const node = await making.then(([made]) => made?.node).catch(() => undefined)
    expect(node, `${path} was found by its number`).toBeUndefined()
  })

  test('is refused where it is a member itself, without a table', async () => {
    await using loop = await createLoopDevice({ sizeBytes: 64 * MiB })
    const member = { path: loop.path, loop, [Symbol.asyncDispose]: async () => undefined }
    const making = ensureBootPartitions([await deviceOf(member)], 'bios', deps)
    await expect(making).rejects.toThrow(/has no room for 2.0 MiB .*it has no partition table/)
  })
})
