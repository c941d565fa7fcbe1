import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { packTorrent } from '../../../agent/image/formats/seekable/pack-torrent.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { describeImage } from '../../support/disk-image.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { ROOT_UUID } from '../../support/root-image.ts'
import { startTracker } from '../../support/tracker.ts'
import { createDeployLab, deployTo, MiB, openersOf, seedImage } from './deploy-lab.ts'
import { createPartitionLab, onWindow, sha256Of } from './partition-lab.ts'

const canRun = hasLoopDevices('deploys of packed images') && hasPackages('agent')

describe.runIf(canRun)('deploying a packed image', () => {
  test('by HTTP puts what it holds on the disk, step by step', async () => {
    await using lab = await createDeployLab({ imageBytes: 200 * MiB })
    const packed = await packImage(lab.image.path, 'zstd')
    await using origin = await createHttpOrigin({ path: packed.path })
    const steps: Progress[] = []
    const info = lab.imageInfo({ urls: [origin.url], os_hash_value: packed.sha256 })
    const deployed = await deployTo(lab.disk.path, info, { onProgress: (p) => steps.push(p) })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    expect(deployed).toMatchObject({
      hash: { algo: 'sha256', value: packed.sha256 },
      bytes: { origin: packed.sizeBytes, peers: 0, file: 0 },
    })
    expect([...new Set(steps.map(({ step }) => step))]).toEqual([
      'prepare',
      'fetch',
      'read-back',
      'commit',
      'done',
    ])
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('that the conductor has unpacked before writes what it serves, whatever its media type was', async () => {
    await using lab = await createDeployLab({ imageBytes: 16 * MiB })
    const node = {
      instance_info: { image_compression_type: 'zstd', image_media_type: 'application/zstd' },
    }
    await deployTo(lab.disk.path, lab.imageInfo({ disk_format: 'raw' }), { node })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test('by swarm puts it there too, and serves the packed file from the disk afterwards', async () => {
    await using lab = await createDeployLab()
    const packed = await packImage(lab.image.path, 'zstd')
    await using origin = await createHttpOrigin({ path: packed.path })
    await using tracker = await startTracker()
    const torrent = await seedImage(packed, tracker.url)
    const info = lab.imageInfo({
      urls: [origin.url],
      os_hash_value: packed.sha256,
      torrent: torrent.payload,
    })
    const config = { swarm_mode: 'require' } as const
    let first: Awaited<ReturnType<typeof deployTo>>
    try {
      first = await deployTo(lab.disk.path, info, { config })
    } finally {
      await torrent[Symbol.asyncDispose]()
    }
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    await using lab2 = await createDeployLab()
    const second = await deployTo(lab2.disk.path, info, { config })
    expect(second.bytes.peers + second.bytes.origin).toBe(packed.sizeBytes)
    expect(await differencesFromImage(lab2.disk.path, lab.image.path)).toEqual([])
    await second.seeding?.[Symbol.asyncDispose]()
    await first.seeding?.[Symbol.asyncDispose]()
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test.for([
    ['qcow2', 'qcow2', []],
    ['qcow2', 'qcow2', ['-c']],
    ['qcow2', 'qcow2', ['-c', '-o', 'compression_type=zstd']],
    ['qcow2', 'qcow2', ['-o', 'extended_l2=on,cluster_size=128k']],
    ['vmdk', 'vmdk', ['-o', 'subformat=streamOptimized']],
    ['vhd', 'vpc', ['-o', 'force_size=on']],
    ['vhdx', 'vhdx', []],
    ['vdi', 'vdi', []],
  ] as const)('of another format is written as a %s of %s %j, named and permitted', async (row) => {
    const [disk_format, driver, options] = row
    await using lab = await createDeployLab({ imageBytes: 40 * MiB })
    const converted = await convertImage(lab.image.path, driver, options)
    await using origin = await createHttpOrigin({ path: converted.path })
    const info = lab.imageInfo({
      urls: [origin.url],
      os_hash_value: converted.sha256,
      disk_format,
    })
    const refused = deployTo(lab.disk.path, info, { config: { permitted_image_formats: ['raw'] } })
    await expect(refused).rejects.toMatchObject({ type: 'InvalidImage' })
    const config = { permitted_image_formats: ['raw', disk_format] }
    await deployTo(lab.disk.path, info, { config })
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test('that torrent create --zstd has packed is written from peers, and served on as that file', async () => {
    await using lab = await createDeployLab({ imageBytes: 40 * MiB })
    const path = `${lab.image.path}.seekable`
    const { metainfo } = await packTorrent(createRoot('/'), {
      ...{ path: lab.image.path, imageBytes: undefined, pieceLength: undefined },
      file: { path, madeFrom: lab.image.path, isForced: false },
      signal: new AbortController().signal,
      onStep: () => undefined,
      onProgress: () => undefined,
    })
    const packed = await describeImage(path)
    expect(metainfo.lengthBytes).toBe(packed.sizeBytes)
    await using origin = await createHttpOrigin({ path })
    await using tracker = await startTracker()
    const torrent = await seedImage(packed, tracker.url)
    const info = lab.imageInfo({
      urls: [origin.url],
      os_hash_value: packed.sha256,
      torrent: torrent.payload,
    })
    const config = { swarm_mode: 'require' } as const
    const deployed = await deployTo(lab.disk.path, info, { config }).finally(() =>
      torrent[Symbol.asyncDispose](),
    )
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
    await deployed.seeding?.[Symbol.asyncDispose]()
    expect(await openersOf(lab.disk.path)).toEqual([])
  })

  test.for(['gzip', 'xz', 'bzip2', 'pzstd'] as const)('of %s is written too', async (packer) => {
    await using lab = await createDeployLab({ imageBytes: 40 * MiB })
    const packed = await packImage(lab.image.path, packer)
    await using origin = await createHttpOrigin({ path: packed.path })
    const info = lab.imageInfo({ urls: [origin.url], os_hash_value: packed.sha256 })
    await deployTo(lab.disk.path, info)
    expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  })

  test.for(['zstd', 'qcow2'] as const)(
    'of a partition goes into its partition, from %s',
    async (format) => {
      await using lab = await createPartitionLab()
      const { path } = lab.image
      const packed =
        format === 'zstd'
          ? await packImage(path, 'zstd')
          : await convertImage(path, 'qcow2', ['-c'])
      await using origin = await createHttpOrigin({ path: packed.path })
      const info = lab.imageInfo({
        urls: [origin.url],
        os_hash_value: packed.sha256,
        disk_format: format === 'zstd' ? 'raw' : 'qcow2',
      })
      const deployed = await deployTo(lab.disk.path, info)
      const root = deployed.partitions?.list.find(({ kind }) => kind === 'root')
      if (!root) throw new Error('no root partition')
      expect(deployed.rootUuid).toBe(ROOT_UUID)
      const image = { ...root.range, length: lab.image.sizeBytes }
      expect(await sha256Of(lab.disk.path, image)).toBe(lab.image.sha256)
      await onWindow(lab.disk.path, root.range, ['e2fsck', '-fn'])
    },
  )

  test('of a partition is refused where its disk is larger than the root partition, which stays as it is', async () => {
    await using lab = await createPartitionLab({}, 96 * MiB)
    const converted = await convertImage(lab.image.path, 'qcow2', ['-c'])
    await using origin = await createHttpOrigin({ path: converted.path })
    const info = lab.imageInfo({
      urls: [origin.url],
      os_hash_value: converted.sha256,
      disk_format: 'qcow2',
    })
    await expect(deployTo(lab.disk.path, info)).rejects.toThrow(
      'Root partition is too small for requested image. Image virtual size: 96 MB, Root size: 64 MB',
    )
  })
})
