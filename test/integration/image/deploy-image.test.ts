import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { differencesFromImage, readPartitionTable } from '../../support/compare-disk.ts'
import { describeImage } from '../../support/disk-image.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker } from '../../support/tracker.ts'
import { createDeployLab, deployTo, MiB, seedImage } from './deploy-lab.ts'

const run = promisify(execFile)
const canRun = hasLoopDevices('image deploys') && hasPackages('agent')

/** A config drive as Ironic's conductor makes it: base64 of a gzipped ISO. */
async function makeConfigDrive(folder: string): Promise<{ text: string; iso: Uint8Array }> {
  const tree = join(folder, 'config/openstack/latest')
  await mkdir(tree, { recursive: true })
  await writeFile(join(tree, 'meta_data.json'), '{"uuid":"1234"}')
  const path = join(folder, 'config.iso')
  await run('genisoimage', [
    '-quiet',
    '-V',
    'config-2',
    '-J',
    '-r',
    '-o',
    path,
    join(folder, 'config'),
  ])
  const iso = await readFile(path)
  return { text: gzipSync(iso).toString('base64'), iso }
}

async function bytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  await using file = await open(path)
  const bytes = Buffer.alloc(length)
  await file.read(bytes, 0, length, offset)
  return bytes
}

describe.runIf(canRun)('deploying an image by HTTP', () => {
  test('puts a GPT image on a larger disk, moves its backup GPT and leaves nothing open', async () => {
    await using lab = await createDeployLab()
    const steps: Progress[] = []
    const deployed = await deployTo(lab.disk.path, lab.imageInfo(), {
      onProgress: (progress) => steps.push(progress),
    })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    expect(deployed).toMatchObject({
      device: lab.disk.path,
      imageId: 'image.raw',
      rootUuid: '0x00000000',
      hash: { algo: 'sha256', value: lab.image.sha256 },
      bytes: { origin: lab.image.sizeBytes, peers: 0, file: 0 },
    })
    expect(deployed.seeding).toBeUndefined()
    await run('sgdisk', ['--verify', lab.disk.path]).then(({ stdout }) =>
      expect(stdout).toContain('No problems found'),
    )
    expect([...new Set(steps.map(({ step }) => step))]).toEqual([
      'prepare',
      'fetch',
      'read-back',
      'commit',
      'done',
    ])
    expect(steps.at(-1)).toMatchObject({ percent: 100, total: lab.image.sizeBytes })
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('puts an MBR image on a disk and tells its identifier', async () => {
    await using lab = await createDeployLab({ table: 'mbr' })
    const deployed = await deployTo(lab.disk.path, lab.imageInfo())
    expect(deployed.rootUuid).toBe('0x1a2b3c4d')
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('puts an image on a disk of exactly its size, byte for byte', async () => {
    await using lab = await createDeployLab({ disk: { sizeBytes: 16 * MiB } })
    await deployTo(lab.disk.path, lab.imageInfo())
    await run('cmp', [lab.disk.path, lab.image.path])
  })

  test('puts an image on a disk that ends inside of its last held-back MiB', async () => {
    await using lab = await createDeployLab({
      table: 'mbr',
      disk: { sizeBytes: 16 * MiB + 512 * 1024 },
    })
    await deployTo(lab.disk.path, lab.imageInfo())
    await run('cmp', ['-n', String(lab.image.sizeBytes), lab.disk.path, lab.image.path])
  })

  test('puts an image whose length is no multiple of a sector on a disk', async () => {
    await using lab = await createDeployLab({ table: 'mbr', cutBytes: 1000 })
    const { bytes } = await deployTo(lab.disk.path, lab.imageInfo())
    expect(bytes.origin).toBe(lab.image.sizeBytes)
    await run('cmp', ['-n', String(lab.image.sizeBytes), lab.disk.path, lab.image.path])
  })

  test('puts an image on a disk with sectors of 4096 bytes', async () => {
    await using lab = await createDeployLab({ table: 'mbr', disk: { sectorBytes: 4096 } })
    // partition 1 begins at 1 MiB in sectors of 4096, too
    await using file = await open(lab.image.path, 'r+')
    await file.write(Uint8Array.of(0, 1, 0, 0, 0, 8, 0, 0), 0, 8, 446 + 8)
    const { sha256 } = await describeImage(lab.image.path)
    await deployTo(lab.disk.path, lab.imageInfo({ os_hash_value: sha256 }))
    await run('cmp', ['-n', String(lab.image.sizeBytes), lab.disk.path, lab.image.path])
  })

  test('puts an image into a regular file', async () => {
    await using lab = await createDeployLab()
    const path = join(lab.folder, 'disk.raw')
    await writeFile(path, '')
    await truncate(path, 32 * MiB)
    await deployTo(path, lab.imageInfo())
    expect(await differencesFromImage(path, lab.image.path)).toEqual([])
  })

  test('adds the config drive behind the image', async () => {
    await using lab = await createDeployLab()
    const { text, iso } = await makeConfigDrive(lab.folder)
    await deployTo(lab.disk.path, lab.imageInfo(), { configdrive: text })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    const table = await readPartitionTable(lab.disk.path)
    const drive = table?.partitions?.find(({ name }) => name === 'config-2')
    const content = await bytesAt(lab.disk.path, (drive?.start ?? 0) * 512, iso.length)
    expect(content.equals(iso)).toBe(true)
  })

  test.each([
    ['disk_format null', { disk_format: null }],
    ['disk_format gpt', { disk_format: 'gpt' }],
  ])('takes a bootable raw disk with %s', async (_, fields) => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    await deployTo(lab.disk.path, lab.imageInfo(fields))
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('finds the hash in a checksum file, and takes uppercase hex', async () => {
    const files: Record<string, string> = {}
    await using lab = await createDeployLab({ imageBytes: 8 * MiB, origin: { files } })
    files['/SUMS'] = `# sums\n${lab.image.sha512.toUpperCase()} *image.raw\n`
    const info = lab.imageInfo({
      os_hash_algo: null,
      os_hash_value: null,
      checksum: `${lab.origin.baseUrl}/SUMS`,
    })
    const deployed = await deployTo(lab.disk.path, info)
    expect(deployed.hash).toEqual({ algo: 'sha512', value: lab.image.sha512 })
  })

  test('counts the bytes of a server that names no length before it writes', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    lab.origin.faults = { chunked: true, ignoreRange: true }
    await deployTo(lab.disk.path, lab.imageInfo())
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('counts no bytes of an image that is refused whatever its size', async () => {
    await using lab = await createDeployLab({ imageBytes: 8 * MiB })
    lab.origin.faults = { chunked: true, ignoreRange: true }
    const deploy = deployTo(lab.disk.path, lab.imageInfo(), { config: { swarm_mode: 'require' } })
    await expect(deploy).rejects.toThrow(/swarm_mode is require, but no usable torrent is known/)
    expect(lab.origin.bytesSent).toBeLessThan(MiB)
  })

  test('starts over when the image is replaced on its server, and writes only the new one', async () => {
    await using lab = await createDeployLab({ imageBytes: 16 * MiB })
    const old = await readFile(lab.image.path)
    const other = Buffer.from(old)
    other.fill(0x5a, 2 * MiB, 12 * MiB)
    const sha256 = createHash('sha256').update(other).digest('hex')
    // the probe and the look at the first bytes come before the download
    lab.origin.faults = { resetAfterBytes: [0, MiB, 9 * MiB] }
    let isReplaced = false
    await deployTo(lab.disk.path, lab.imageInfo({ os_hash_value: sha256 }), {
      onLog: (line) => {
        if (isReplaced || !line.includes('image url failed')) return
        isReplaced = true
        lab.origin.replace(other)
      },
    })
    expect(isReplaced).toBe(true)
    const disk = await bytesAt(lab.disk.path, MiB, 14 * MiB)
    expect(disk.equals(other.subarray(MiB, 15 * MiB))).toBe(true)
  })
})

describe.runIf(canRun)('deploying an image by swarm', () => {
  test('takes it from a peer, and goes on serving its original bytes from the changed disk', async () => {
    await using lab = await createDeployLab()
    await using tracker = await startTracker()
    const torrent = await seedImage(lab.image, tracker.url)
    const info = lab.imageInfo({ torrent: torrent.payload })
    const { text } = await makeConfigDrive(lab.folder)
    await lab.origin.goDown()
    const config = { swarm_mode: 'require' } as const
    let first: Awaited<ReturnType<typeof deployTo>>
    try {
      first = await deployTo(lab.disk.path, info, { config, configdrive: text })
    } finally {
      await torrent[Symbol.asyncDispose]()
    }
    expect(first.bytes).toEqual({ origin: 0, peers: lab.image.sizeBytes, file: 0 })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])

    await using other = await createLoopDevice({ sizeBytes: 96 * MiB })
    const second = await deployTo(other.path, info, { config })
    expect(await differencesFromImage(other.path, lab.image.path)).toEqual([])
    await second.seeding?.[Symbol.asyncDispose]()
    await first.seeding?.[Symbol.asyncDispose]()
    expect(await openersOf(lab.disk.path)).toEqual([])
    expect(await openersOf(other.path)).toEqual([])
  })

  test('names the torrent in instance_info, as an unmodified conductor can', async () => {
    const files: Record<string, Uint8Array> = {}
    await using lab = await createDeployLab({ imageBytes: 8 * MiB, origin: { files } })
    await using tracker = await startTracker()
    await using torrent = await seedImage(lab.image, tracker.url)
    files['/image.torrent'] = torrent.torrentFile
    const node = { instance_info: { image_torrent_file: `${lab.origin.baseUrl}/image.torrent` } }
    const deployed = await deployTo(lab.disk.path, lab.imageInfo(), {
      node,
      config: { swarm_trackers: [tracker.url], swarm_mode: 'require' },
    })
    await deployed.seeding?.[Symbol.asyncDispose]()
    expect(deployed.bytes.origin + deployed.bytes.peers).toBe(lab.image.sizeBytes)
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })
})
