import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Progress } from '../../../agent/core/events.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import type { DeployedImage } from '../../../agent/image/deploy-image.ts'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { hasLoopDevices } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker } from '../../support/tracker.ts'
import {
  createDeployLab,
  type DeployLab,
  type DeployTestOptions,
  deployTo,
  MiB,
  seedImage,
  type TorrentLab,
} from '../image/deploy-lab.ts'
import { startHostilePeer } from '../swarm/hostile-peer.ts'
import { torrentOf } from './swarm-cases.ts'

const canRun = hasLoopDevices('deploys that recover') && hasPackages('agent')
const DEAD_TRACKER = 'http://127.0.0.1:9/announce'

/** Deploys, ends the seeding and compares the disk with the image. */
async function deployed(
  lab: DeployLab,
  fields: JsonObject = {},
  options: DeployTestOptions = {},
): Promise<DeployedImage> {
  const image = await deployTo(lab.disk.path, lab.imageInfo(fields), options)
  await image.seeding?.[Symbol.asyncDispose]()
  expect(await differencesFromImage(lab.disk.path, lab.image.path)).toEqual([])
  expect(await openersOf(lab.disk.path)).toEqual([])
  return image
}

/** Acts once, when this share of the image is on the disk. */
function at(percent: number, act: () => void): (progress: Progress) => void {
  let isDone = false
  return (progress) => {
    if (isDone || progress.step !== 'fetch' || progress.percent < percent) return
    isDone = true
    act()
  }
}

describe.runIf(canRun)('a deploy by HTTP gets over', () => {
  test('an origin that resets connections, without fetching bytes again', async () => {
    await using lab = await createDeployLab()
    lab.origin.faults = { resetAfterBytes: [0, MiB, 3 * MiB, 5 * MiB] }
    await deployed(lab)
    expect(lab.origin.requests.filter(({ range }) => range?.startsWith('bytes=0-0'))).not.toEqual(
      [],
    )
    expect(lab.origin.requests.length).toBeGreaterThan(3)
    expect(lab.origin.bytesSent).toBeLessThan(lab.image.sizeBytes * 1.3)
  })

  test('an origin that goes away for a moment', async () => {
    await using lab = await createDeployLab()
    lab.origin.faults = { rateBytesPerSecond: 12 * MiB }
    const outage = async () => {
      await lab.origin.goDown()
      await new Promise((resolve) => setTimeout(resolve, 200))
      await lab.origin.comeBack()
    }
    await deployed(
      lab,
      {},
      {
        config: { image_download_connection_retries: 20 },
        onProgress: at(10, () => void outage()),
      },
    )
  })

  test('a server that ignores Range', async () => {
    await using lab = await createDeployLab()
    lab.origin.faults = { ignoreRange: true, resetAfterBytes: [0, MiB, 4 * MiB] }
    await deployed(lab)
  })

  test('a first url that is dead', async () => {
    await using lab = await createDeployLab()
    await deployed(lab, { urls: ['http://127.0.0.1:9/image.raw', lab.origin.url] })
  })
})

interface Swarm {
  readonly torrent: TorrentLab
  readonly fields: JsonObject
}

async function withSwarm(
  lab: DeployLab,
  use: (swarm: Swarm, trackerUrl: string) => Promise<void>,
): Promise<void> {
  await using tracker = await startTracker()
  await using torrent = await seedImage(lab.image, tracker.url)
  await use({ torrent, fields: { torrent: torrent.payload } }, tracker.url)
}

describe.runIf(canRun)('a deploy by swarm gets over', () => {
  test('an origin that is gone, as long as a peer is there', async () => {
    await using lab = await createDeployLab()
    await withSwarm(lab, async ({ fields }) => {
      await lab.origin.goDown()
      const { bytes } = await deployed(lab, fields)
      expect(bytes).toEqual({ origin: 0, peers: lab.image.sizeBytes, file: 0 })
    })
  })

  test('an origin that goes away in the middle, as long as a peer is there', async () => {
    await using lab = await createDeployLab()
    lab.origin.faults = { rateBytesPerSecond: 4 * MiB }
    await withSwarm(lab, async ({ fields }) => {
      await deployed(lab, fields, { onProgress: at(5, () => void lab.origin.goDown()) })
    })
  })

  test('a tracker nobody answers at', async () => {
    await using lab = await createDeployLab()
    const torrent = { metainfo: torrentText(await torrentBytes(lab)), trackers: [DEAD_TRACKER] }
    const { bytes } = await deployed(lab, { torrent })
    expect(bytes.origin).toBe(lab.image.sizeBytes)
  })

  test('peers that are gone and an origin without Range: HTTP fetches what is missing', async () => {
    await using lab = await createDeployLab()
    lab.origin.faults = { ignoreRange: true }
    const sources: (string | null)[] = []
    const torrent = { metainfo: torrentText(await torrentBytes(lab)), trackers: [DEAD_TRACKER] }
    await deployed(lab, { torrent }, { onProgress: ({ source }) => sources.push(source) })
    expect(sources).toContain('swarm')
    expect(sources.at(-1)).toBe('http')
  })

  test('a peer that leaves in the middle: the origin only sends what is missing', async () => {
    await using lab = await createDeployLab()
    await withSwarm(lab, async ({ torrent, fields }) => {
      // so that the peer surely brought the first part, however long it takes to be found
      lab.origin.faults = { status: 503 }
      const { bytes } = await deployed(lab, fields, {
        config: { swarm_download_limit: 8 * MiB, swarm_stall_timeout: 30 },
        onProgress: at(20, () => {
          lab.origin.faults = {}
          void torrent.seeder[Symbol.asyncDispose]()
        }),
      })
      expect(bytes.peers + bytes.origin).toBe(lab.image.sizeBytes)
      expect(bytes.peers).toBeGreaterThan(0)
      expect(lab.origin.bytesSent).toBeLessThan(lab.image.sizeBytes)
    })
  })

  test('a peer that sends garbage', async () => {
    await using lab = await createDeployLab()
    await using tracker = await startTracker()
    await using torrent = await seedImage(lab.image, DEAD_TRACKER)
    await using _peer = await startHostilePeer(tracker.url, {
      metainfo: torrent.metainfo,
      onRequest: (talk, { piece, offset, length }) =>
        talk.sendBlock(piece, offset, randomBytes(length)),
    })
    await deployed(lab, { torrent: { ...torrent.payload, trackers: [tracker.url] } })
  })

  test.each([
    ['cut off', 'ZDQ6aW5mb2Q='],
    ['of another length', torrentOf(15 * MiB)],
    ['whose hashes fit nothing', torrentOf(16 * MiB)],
  ])('metainfo %s', async (_, metainfo) => {
    await using lab = await createDeployLab()
    const { bytes } = await deployed(lab, { torrent: { metainfo } })
    expect(bytes.origin).toBe(lab.image.sizeBytes)
  })

  test('a .torrent that is not to be had', async () => {
    await using lab = await createDeployLab()
    await deployed(lab, {}, { config: { swarm_torrent_url: 'http://127.0.0.1:9/{id}.torrent' } })
  })
})

async function torrentBytes(lab: DeployLab): Promise<Uint8Array> {
  await using torrent = await seedImage(lab.image, DEAD_TRACKER)
  return torrent.torrentFile
}

function torrentText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
