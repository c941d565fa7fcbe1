import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { packImage } from '../../support/formats/packed-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker } from '../../support/tracker.ts'
import { createDeployLab, deployTo, MiB, openersOf, seedImage } from './deploy-lab.ts'

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
      'unpack',
      'commit',
      'done',
    ])
    expect(await openersOf(lab.disk.path)).toEqual([])
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
})
