import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { differencesFromImage } from '../../support/compare-disk.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { startTracker, type Tracker } from '../../support/tracker.ts'
import { run, start } from './ironswarm.ts'

const MiB = 1024 * 1024

describe.runIf(hasPackages('agent'))('ironswarm torrent and seed', () => {
  let directory: string
  let image: DiskImage
  let tracker: Tracker
  let torrent: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-seed-'))
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 32 * MiB })
    tracker = await startTracker()
    torrent = join(directory, 'image.torrent')
  })
  afterAll(async () => {
    await tracker?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  async function imageInfo(urls: string[]): Promise<string> {
    const path = join(directory, 'image-info.json')
    const info = {
      id: 'image.raw',
      urls,
      disk_format: 'raw',
      os_hash_algo: 'sha256',
      os_hash_value: image.sha256,
      torrent: { metainfo: (await readFile(torrent)).toString('base64') },
    }
    await writeFile(path, JSON.stringify(info))
    return path
  }

  test('torrent create makes a .torrent that torrent show reads', async () => {
    const made = await run(
      ...['torrent', 'create', '--path', image.path, '--output', torrent, '--json'],
      ...['--tracker', tracker.url, '--web-seed', 'http://origin/image.raw'],
      ...['--piece-length', '512K'],
    )
    expect(made.code).toBe(0)
    const shown = await run('torrent', 'show', '--torrent', torrent, '--json')
    expect(shown.report).toEqual(made.report)
    expect(shown.report).toMatchObject({
      name: 'image.raw',
      length_bytes: image.sizeBytes,
      piece_length: 512 * 1024,
      piece_count: 64,
      trackers: [[tracker.url]],
      web_seeds: ['http://origin/image.raw'],
    })
    const text = await run('torrent', 'show', '--torrent', torrent)
    expect(text.stdout).toContain(String(shown.report['info_hash']))
  })

  test.runIf(hasLoopDevices('a write from a seed'))(
    'seed serves an image file, and afterwards the disk that was written from it',
    async () => {
      await using disk = await createLoopDevice({ sizeBytes: 48 * MiB, directory })
      const dead = ['http://127.0.0.1:9/image.raw']
      const swarm = [
        '--swarm-mode',
        'require',
        '--image-download-connection-retries',
        '0',
        '--json',
      ]
      const write = async (device: string) =>
        await run('write', '--image-info', await imageInfo(dead), '--device', device, ...swarm)
      const peersOnly = {
        verified: true,
        bytes: { origin: 0, peers: image.sizeBytes, file: 0 },
      }

      const file = start(['seed', '--path', image.path, '--torrent', torrent])
      await file.says(/seeding image\.raw/)
      expect((await write(disk.path)).report).toMatchObject(peersOnly)
      file.child.kill('SIGINT')
      expect((await file.finished).code).toBe(130)

      // its backup GPT was moved: the seed has to show the head as the image has it
      await using other = await createLoopDevice({ sizeBytes: 64 * MiB, directory })
      const device = start(['seed', '--path', disk.path, '--torrent', torrent])
      await device.says(/seeding image\.raw/)
      expect((await write(other.path)).report).toMatchObject(peersOnly)
      device.child.kill('SIGTERM')
      expect((await device.finished).code).toBe(143)
      expect(await differencesFromImage(other.path, image.path)).toEqual([])
    },
  )

  test('seed makes the torrent if there is none', async () => {
    const output = join(directory, 'made.torrent')
    const seed = start(['seed', '--path', image.path, '--output', output, '--tracker', tracker.url])
    await seed.says(/seeding image\.raw/)
    seed.child.kill('SIGINT')
    await seed.finished
    const shown = await run('torrent', 'show', '--torrent', output, '--json')
    expect(shown.report).toMatchObject({ length_bytes: image.sizeBytes })
  })

  test.each([
    ['a tracker that is no URL', ['--tracker', 'nonsense'], /--tracker is "nonsense"/],
    ['no tracker at all', [], /give --tracker/],
  ])('%s ends seed with 2', async (_name, flags, words) => {
    const output = join(directory, 'none.torrent')
    const ended = await run('seed', '--path', image.path, '--output', output, ...flags)
    expect(ended.code).toBe(2)
    expect(ended.stderr).toMatch(words)
  })

  test('a file that is no torrent ends with 2 and one line', async () => {
    const ended = await run('torrent', 'show', '--torrent', 'package.json')
    expect(ended.code).toBe(2)
    expect(ended.stderr.trim().split('\n')).toHaveLength(1)
    expect(ended.stderr).toMatch(/InvalidMetainfoError/)
  })
})
