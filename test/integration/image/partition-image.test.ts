import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../agent/core/json.ts'
import { bootableTraces, readPartitionTable } from '../../support/compare-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { ROOT_UUID } from '../../support/root-image.ts'
import { type DeployTestOptions, deployTo, MiB } from './deploy-lab.ts'
import {
  bytesAt,
  createPartitionLab,
  loopsOver,
  makeConfigDrive,
  onWindow,
  type PartitionLab,
  probeAt,
  sha256Of,
} from './partition-lab.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('partition images') && hasPackages('agent')
/** Two or three deploys each, of which each starts a dozen programs. */
const TIMEOUT_MS = 240_000

/** The step's arguments in the recorded deployment of a partition image. */
function recordedArguments(): { image_info: JsonObject; configdrive: string } {
  const lines = readFileSync('test/fixtures/traces/tr-deploy-bios-partition.jsonl', 'utf8')
  const rows = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return rows.find(({ body }) => body?.name === 'deploy.execute_deploy_step').body.params.step.args
}

describe.runIf(canRun)('deploying a partition image by HTTP', () => {
  test('makes a GPT with an ESP, swap and ephemeral partition, and the image in the last one', async () => {
    await using lab = await createPartitionLab()
    const deployed = await deployTo(
      lab.disk.path,
      lab.imageInfo({ swap_mb: 32, ephemeral_mb: 96, ephemeral_format: 'ext4' }),
    )
    const table = await readPartitionTable(lab.disk.path)
    expect(table?.label).toBe('gpt')
    const rows = table?.partitions?.map(({ start, size, type }) => [
      start / 2048,
      size / 2048,
      type,
    ])
    expect(rows).toEqual([
      [1, 550, 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'],
      [551, 96, '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
      [647, 32, '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F'],
      [679, 64, '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
    ])
    const { stdout } = await run('sgdisk', ['--verify', lab.disk.path])
    expect(stdout).toContain('No problems found')
    await run('sfdisk', ['--verify', lab.disk.path])
    const [esp, ephemeral, swap, root] = deployed.partitions?.list ?? []
    if (!esp || !ephemeral || !swap || !root) throw new Error('a partition is missing')
    expect(await sha256Of(lab.disk.path, { ...root.range, length: lab.image.sizeBytes })).toBe(
      lab.image.sha256,
    )
    await onWindow(lab.disk.path, root.range, ['e2fsck', '-fn'])
    await onWindow(lab.disk.path, ephemeral.range, ['e2fsck', '-fn'])
    await onWindow(lab.disk.path, esp.range, ['fsck.vfat', '-n'])
    expect(await probeAt(lab.disk.path, esp.range)).toMatchObject({
      TYPE: 'vfat',
      LABEL: 'efi-part',
      UUID: esp.uuid,
    })
    expect(await probeAt(lab.disk.path, swap.range)).toMatchObject({ TYPE: 'swap', LABEL: 'swap1' })
    expect(await probeAt(lab.disk.path, ephemeral.range)).toMatchObject({
      TYPE: 'ext4',
      LABEL: 'ephemeral0',
    })
    expect(deployed.rootUuid).toBe(ROOT_UUID)
    expect(table?.partitions?.map(({ node }) => node)).toEqual(
      deployed.partitions?.list.map(({ path }) => path),
    )
    expect(table?.partitions?.map(({ uuid }) => uuid?.toLowerCase())).toEqual(
      deployed.partitions?.list.map(({ partUuid }) => partUuid),
    )
    expect(await loopsOver(lab.disk.path)).toBe('')
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('makes an MBR whose root partition boots, with the config drive before it', async () => {
    await using lab = await createPartitionLab({ sizeBytes: 256 * MiB })
    const iso = Buffer.concat([randomBytes(MiB), Buffer.from('end')])
    const deployed = await deployTo(
      lab.disk.path,
      lab.imageInfo({ deploy_boot_mode: 'bios', disk_label: undefined, swap_mb: 16 }),
      { configdrive: gzipSync(iso).toString('base64') },
    )
    const table = await readPartitionTable(lab.disk.path)
    expect(table?.label).toBe('dos')
    expect(
      table?.partitions?.map(({ start, size, type, bootable }) => [
        start / 2048,
        size / 2048,
        type,
        bootable ?? false,
      ]),
    ).toEqual([
      [1, 16, '82', false],
      [17, 2, '83', false],
      [19, 64, '83', true],
    ])
    const [, configdrive, root] = deployed.partitions?.list ?? []
    if (!configdrive || !root) throw new Error('a partition is missing')
    expect(await sha256Of(lab.disk.path, { ...configdrive.range, length: iso.length })).toBe(
      createHash('sha256').update(iso).digest('hex'),
    )
    expect(await sha256Of(lab.disk.path, { ...root.range, length: lab.image.sizeBytes })).toBe(
      lab.image.sha256,
    )
    expect(deployed.rootUuid).toBe(ROOT_UUID)
  })

  test('fills a disk to its last sector: what would be the backup GPT is held back and read back', async () => {
    await using lab = await createPartitionLab({ sizeBytes: 17 * MiB })
    const fields = { deploy_boot_mode: 'bios', disk_label: 'msdos', root_mb: 16 }
    const deployed = await deployTo(lab.disk.path, lab.imageInfo(fields))
    const [root] = deployed.partitions?.list ?? []
    if (!root) throw new Error('no root partition')
    expect(root.range).toEqual({ offset: MiB, length: 16 * MiB })
    expect(await sha256Of(lab.disk.path, root.range)).toBe(lab.image.sha256)
    await onWindow(lab.disk.path, root.range, ['e2fsck', '-fn'])
  })

  test('on a 4Kn disk makes ESP and ephemeral partition for its sectors, and the config drive as vfat', async () => {
    await using lab = await createPartitionLab({ sectorBytes: 4096 })
    const deployed = await deployTo(lab.disk.path, lab.imageInfo({ ephemeral_mb: 64 }), {
      configdrive: await makeConfigDrive(),
    })
    expect((await run('sgdisk', ['--verify', lab.disk.path])).stdout).toContain('No problems')
    const [esp, ephemeral, configdrive, root] = deployed.partitions?.list ?? []
    if (!esp || !ephemeral || !configdrive || !root) throw new Error('a partition is missing')
    expect(await probeAt(lab.disk.path, esp.range)).toMatchObject({ TYPE: 'vfat' })
    const sector = await bytesAt(lab.disk.path, esp.range.offset + 11, 2)
    expect(sector.readUInt16LE()).toBe(4096)
    await onWindow(lab.disk.path, esp.range, ['fsck.vfat', '-n'])
    await onWindow(lab.disk.path, ephemeral.range, ['e2fsck', '-fn'])
    expect(configdrive.range.length).toBe(64 * MiB)
    expect(await probeAt(lab.disk.path, configdrive.range)).toMatchObject({
      TYPE: 'vfat',
      LABEL: 'CONFIG-2',
    })
    expect(await sha256Of(lab.disk.path, { ...root.range, length: lab.image.sizeBytes })).toBe(
      lab.image.sha256,
    )
  })

  test('takes the boot mode of the node rather than that of image_info', async () => {
    await using lab = await createPartitionLab()
    const deployed = await deployTo(lab.disk.path, lab.imageInfo({ disk_label: undefined }), {
      node: { properties: { capabilities: 'boot_mode:bios,disk_label:gpt' } },
    })
    expect(deployed.partitions).toMatchObject({ label: 'gpt', bootMode: 'bios' })
    expect(deployed.partitions?.list.map(({ kind }) => kind)).toEqual(['bios-boot', 'root'])
  })

  test('takes what a real Ironic 21.4 has sent', async () => {
    await using lab = await createPartitionLab({ sizeBytes: 6144 * MiB })
    const { image_info: recorded, configdrive } = recordedArguments()
    const { urls, os_hash_algo, os_hash_value } = lab.imageInfo()
    const deployed = await deployTo(
      lab.disk.path,
      { ...recorded, urls, os_hash_algo, os_hash_value },
      { configdrive },
    )
    const table = await readPartitionTable(lab.disk.path)
    expect(table?.label).toBe('dos')
    expect(deployed.partitions?.list.map(({ kind, range }) => [kind, range.length / MiB])).toEqual([
      ['ephemeral', 1024],
      ['swap', 256],
      ['configdrive', 1],
      ['root', 4096],
    ])
    await run('sfdisk', ['--verify', lab.disk.path])
  })
})

describe.runIf(canRun).each([
  ['gpt', { deploy_boot_mode: 'uefi' }],
  ['dos', { deploy_boot_mode: 'bios', disk_label: undefined }],
])('preserve_ephemeral on a disk with a %s table', { timeout: TIMEOUT_MS }, (_label, fields) => {
  const all = { ...fields, swap_mb: 16, ephemeral_mb: 64, root_mb: 32 }
  const preserved = { ...all, preserve_ephemeral: true }

  /** A disk as a tenant left it: boot code, noise in every partition. */
  async function usedDisk(lab: PartitionLab) {
    const { partitions } = await deployTo(lab.disk.path, lab.imageInfo(all))
    const ephemeral = partitions?.list.find(({ kind }) => kind === 'ephemeral')
    if (!partitions || !ephemeral) throw new Error('no ephemeral partition')
    await using disk = await open(lab.disk.path, 'r+')
    await disk.write(Buffer.alloc(440, 0xeb), 0, 440, 0)
    for (const { range } of partitions.list) {
      await disk.write(randomBytes(MiB), 0, MiB, range.offset)
      await disk.write(randomBytes(4096), 0, 4096, range.offset + range.length - 4096)
    }
    await disk.sync()
    const table = await readPartitionTable(lab.disk.path)
    return { partitions, ephemeral, table, digest: await sha256Of(lab.disk.path, ephemeral.range) }
  }

  test('keeps the table and every byte of the ephemeral partition, and makes all else anew', async () => {
    await using lab = await createPartitionLab()
    const before = await usedDisk(lab)
    const deployed = await deployTo(lab.disk.path, lab.imageInfo(preserved))
    expect(await readPartitionTable(lab.disk.path)).toEqual(before.table)
    expect(await sha256Of(lab.disk.path, before.ephemeral.range)).toBe(before.digest)
    expect(await bytesAt(lab.disk.path, 0, 440)).toEqual(Buffer.alloc(440))
    const root = deployed.partitions?.list.at(-1)
    if (!root) throw new Error('no root partition')
    expect(root.partUuid).toBe(before.partitions.list.at(-1)?.partUuid)
    expect(await sha256Of(lab.disk.path, { ...root.range, length: lab.image.sizeBytes })).toBe(
      lab.image.sha256,
    )
  })

  test('leaves the beginning of every other partition zero until the image is proved', async () => {
    await using lab = await createPartitionLab()
    const before = await usedDisk(lab)
    const others = before.partitions.list.filter(({ kind }) => kind !== 'ephemeral')
    const beginnings: Promise<Buffer>[] = []
    await deployTo(lab.disk.path, lab.imageInfo(preserved), {
      onProgress: ({ step }) => {
        if (step !== 'partition' || beginnings.length > 0) return
        for (const { range } of others) beginnings.push(bytesAt(lab.disk.path, range.offset, MiB))
      },
    })
    expect(beginnings.length).toBe(others.length)
    for (const bytes of await Promise.all(beginnings))
      expect(bytes.equals(Buffer.alloc(MiB))).toBe(true)
    const root = before.partitions.list.at(-1)?.range ?? { offset: 0, length: 0 }
    expect(await sha256Of(lab.disk.path, { ...root, length: lab.image.sizeBytes })).toBe(
      lab.image.sha256,
    )
  })

  test('after a failure nothing boots, the ephemeral partition is whole, and the next try succeeds', async () => {
    await using lab = await createPartitionLab()
    const before = await usedDisk(lab)
    const wrong = { ...preserved, os_hash_value: 'ab'.repeat(32) }
    await expect(deployTo(lab.disk.path, lab.imageInfo(wrong))).rejects.toMatchObject({
      type: 'ImageChecksumError',
    })
    expect((await bytesAt(lab.disk.path, 510, 2)).readUInt16LE()).toBe(0)
    expect(await readPartitionTable(lab.disk.path)).toBeUndefined()
    expect(await sha256Of(lab.disk.path, before.ephemeral.range)).toBe(before.digest)
    await deployTo(lab.disk.path, lab.imageInfo(preserved))
    expect(await readPartitionTable(lab.disk.path)).toEqual(before.table)
    expect(await sha256Of(lab.disk.path, before.ephemeral.range)).toBe(before.digest)
  })

  test('refuses a disk that is divided otherwise, says how, and touches nothing', async () => {
    await using lab = await createPartitionLab()
    const { partitions } = await usedDisk(lab)
    const places = [
      { offset: 0, length: MiB },
      { offset: 1023 * MiB, length: MiB },
      ...partitions.list.map(({ range }) => ({ offset: range.offset, length: MiB })),
    ]
    const digests = () => Promise.all(places.map((place) => sha256Of(lab.disk.path, place)))
    const before = await digests()
    const number = partitions.list.find(({ kind }) => kind === 'swap')?.number
    const other = lab.imageInfo({ ...preserved, swap_mb: 17 })
    await expect(deployTo(lab.disk.path, other)).rejects.toMatchObject({
      type: 'DeploymentError',
      details: expect.stringMatching(
        new RegExp(`partition ${number} \\(swap\\) lies at .* MiB, expected at .* MiB`),
      ),
    })
    expect(await digests()).toEqual(before)
  })
})

interface Refusal {
  readonly name: string
  readonly fields: JsonObject
  readonly sizeBytes?: number
  readonly type: string
  readonly details: RegExp
}

/** Before anything is written. */
const REFUSALS: readonly Refusal[] = [
  {
    name: 'a root partition that is too small for the image',
    fields: { root_mb: 15 },
    type: 'InvalidCommandParamsError',
    details: /Root partition is too small.*Image virtual size: 16 MB, Root size: 15 MB/,
  },
  {
    name: 'a disk that is too small for all partitions',
    fields: { ephemeral_mb: 500 },
    type: 'DeploymentError',
    details: /first 1115 MiB .*esp 550, ephemeral 500, root 64.*has 1024 MiB/,
  },
  {
    name: 'an ephemeral format that nobody can make',
    fields: { ephemeral_mb: 16, ephemeral_format: 'nosuchfs' },
    type: 'DeploymentError',
    details: /partition 2 \(ephemeral\).*mkfs\.nosuchfs: command not found/,
  },
  {
    name: 'preserve_ephemeral on a disk without a table',
    fields: { ephemeral_mb: 16, preserve_ephemeral: true },
    type: 'DeploymentError',
    details: /it has no gpt table/,
  },
]

describe.runIf(canRun)('a partition image that cannot be deployed', () => {
  test.each(REFUSALS.map((row) => [row.name, row] as const))('is refused: %s', async (_, row) => {
    await using lab = await createPartitionLab()
    const noise = randomBytes(MiB)
    await using disk = await open(lab.disk.path, 'r+')
    await disk.write(noise, 0, MiB, 0)
    await disk.sync()
    await expect(deployTo(lab.disk.path, lab.imageInfo(row.fields))).rejects.toMatchObject({
      type: row.type,
      details: expect.stringMatching(row.details),
    })
    expect(await bytesAt(lab.disk.path, 0, MiB)).toEqual(noise)
  })

  test.each<[string, DeployTestOptions, JsonObject, string]>([
    ['a wrong hash', {}, { os_hash_value: 'ab'.repeat(32) }, 'ImageChecksumError'],
    [
      'an ephemeral partition too small for its file system',
      {},
      { ephemeral_mb: 1, ephemeral_format: 'btrfs' },
      'DeploymentError',
    ],
  ])('leaves no loop device and nothing that boots: %s', async (_, options, fields, type) => {
    await using lab = await createPartitionLab()
    await expect(deployTo(lab.disk.path, lab.imageInfo(fields), options)).rejects.toMatchObject({
      type,
    })
    expect(await bootableTraces(lab.disk.path)).toEqual([])
    expect(await loopsOver(lab.disk.path)).toBe('')
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('leaves no loop device and nothing that boots when it is cancelled while file systems are made', async () => {
    await using lab = await createPartitionLab()
    const controller = new AbortController()
    const deploy = deployTo(lab.disk.path, lab.imageInfo({ ephemeral_mb: 256, swap_mb: 16 }), {
      signal: controller.signal,
      onProgress: ({ step }) => {
        if (step === 'partition') controller.abort()
      },
    })
    await expect(deploy).rejects.toMatchObject({ type: 'CancelledError' })
    expect(await bootableTraces(lab.disk.path)).toEqual([])
    expect(await loopsOver(lab.disk.path)).toBe('')
  })
})
