import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { packTorrent } from '../../../agent/image/formats/seekable/pack-torrent.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { describeImage } from '../../support/disk-image.ts'
import { convertImage, packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker } from '../../support/tracker.ts'
import { createDeployLab, deployTo, MiB, seedImage } from './deploy-lab.ts'
import { createPartitionLab } from './partition-lab.ts'

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
