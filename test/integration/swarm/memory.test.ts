import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTorrent } from '../../../agent/sources/swarm/torrent/create-torrent.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasPackages } from '../../support/packages.ts'
import { type Finished, start } from '../cli/ironswarm.ts'
import { MiB, startTracker } from './lab.ts'

/** docs/design/015-memory.md */
const LIMIT_MIB = 256

describe.runIf(hasPackages('agent'))('the memory of nodes', () => {
  let folder: string
  let image: DiskImage

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-memory-'))
    image = await makeDiskImage(join(folder, 'image.raw'), { sizeBytes: 256 * MiB })
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** `ironswarm write` to the end, and the most it held. */
  async function weigh(argv: readonly string[]): Promise<{ ended: Finished; peakMiB: number }> {
    const node = start(argv)
    let peakKiB = 0
    const look = () => {
      try {
        const status = readFileSync(`/proc/${node.child.pid}/status`, 'utf8')
        peakKiB = Math.max(peakKiB, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0))
      } catch {
        // it has ended
      }
    }
    const timer = setInterval(look, 50)
    const ended = await node.finished.finally(() => clearInterval(timer))
    return { ended, peakMiB: peakKiB / 1024 }
  }

  test.each([
    ['16 MiB, the largest there are', 16 * MiB],
    ['64 KiB', MiB / 16],
  ])('is bounded with pieces of %s, in a swarm of two', async (_name, pieceLength) => {
    await using tracker = await startTracker()
    await using origin = await createHttpOrigin({
      path: image.path,
      faults: { rateBytesPerSecond: 96 * MiB },
    })
    const { torrentFile } = await createTorrent({
      image: { path: image.path },
      lengthBytes: image.sizeBytes,
      pieceLength,
      trackers: [tracker.url],
    })
    const info = join(folder, 'image-info.json')
    const torrent = { metainfo: Buffer.from(torrentFile).toString('base64') }
    const hash = { os_hash_algo: 'sha256', os_hash_value: image.sha256 }
    const fields = { id: 'image', urls: [origin.url], disk_format: 'raw', ...hash, torrent }
    writeFileSync(info, JSON.stringify(fields))
    const nodes = await Promise.all(
      ['first', 'second'].map((name) => {
        const disk = join(folder, name)
        writeFileSync(disk, '')
        truncateSync(disk, image.sizeBytes + 16 * MiB)
        const flags = ['--image-info', info, '--device', disk, '--swarm-lsd', 'off', '--json']
        return weigh(['write', ...flags])
      }),
    )
    for (const { ended, peakMiB } of nodes) {
      expect(ended.report).toMatchObject({ verified: true })
      expect(peakMiB).toBeGreaterThan(50)
      expect(peakMiB).toBeLessThan(LIMIT_MIB)
    }
    // a swarm, not two downloads
    const fromPeers = nodes.map(({ ended }) => (ended.report['bytes'] as { peers: number }).peers)
    expect(Math.max(...fromPeers)).toBeGreaterThan(0)
  })
})
