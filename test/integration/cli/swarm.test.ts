import {
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
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
    const text = await run('torrent', 'show', torrent)
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
      const byFlags = async (device: string) =>
        await run(
          ...['write', '--url', dead[0] as string, '--sha256', image.sha256, '--torrent', torrent],
          ...[...swarm, device],
        )
      const peersOnly = {
        verified: true,
        bytes: { origin: 0, peers: image.sizeBytes, file: 0 },
      }

      const file = start(['seed', '--path', image.path, '--torrent', torrent])
      await file.says(/seeding image\.raw/)
      expect((await write(disk.path)).report).toMatchObject(peersOnly)
      file.child.kill('SIGINT')
      const ended = await file.finished
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      expect(ended.stdout).toMatch(/\nended after 0:\d\d, \d+\.\d MiB uploaded\n$/)

      // its backup GPT was moved: the seed has to show the head as the image has it
      await using other = await createLoopDevice({ sizeBytes: 64 * MiB, directory })
      const device = start(['seed', '--path', disk.path, '--torrent', torrent])
      await device.says(/seeding image\.raw/)
      expect((await byFlags(other.path)).report).toMatchObject(peersOnly)
      device.child.kill('SIGTERM')
      expect((await device.finished).code).toBe(0)
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

  describe('torrent create writes no file over another', () => {
    let source: string
    const create = (output: string, ...flags: string[]) =>
      run('torrent', 'create', '--path', source, '--output', output, ...flags)
    beforeAll(async () => {
      await mkdir(join(directory, 'new'))
      source = join(directory, 'new/source.raw')
      await copyFile(image.path, source)
      await symlink(source, join(directory, 'new/symlink'))
      await symlink('nowhere', join(directory, 'new/dangling'))
      await link(source, join(directory, 'new/hard-link'))
      await writeFile(join(directory, 'new/other'), 'precious')
    })

    test.each([
      ['the image itself', 'source.raw', [], /is .*source\.raw itself/],
      ['the image itself, forced', 'source.raw', ['--force'], /is .*source\.raw itself/],
      ['the image by a symbolic link', 'symlink', ['--force'], /is .*source\.raw itself/],
      ['the image by a hard link', 'hard-link', ['--force'], /is .*source\.raw itself/],
      ['the image by another path', '../new/./source.raw', ['--force'], /is .*source\.raw itself/],
      ['another file', 'other', [], /is there already; .*--force/],
      ['a link that leads nowhere', 'dangling', [], /is there already; .*--force/],
      ['a folder', '.', ['--force'], /is no regular file/],
      ['a device', '/dev/null', ['--force'], /is no regular file/],
      ['a folder that is not there', 'a/b/c.torrent', ['--force'], /there is no folder/],
    ])('%s', async (_what, output, flags, words) => {
      const refused = await create(resolve(directory, 'new', output), ...flags)
      expect(refused).toMatchObject({ code: 2, stdout: '' })
      expect(refused.stderr).toMatch(words)
      expect((await readFile(source)).equals(await readFile(image.path))).toBe(true)
      expect(await readFile(join(directory, 'new/other'), 'utf8')).toBe('precious')
      const there = ['dangling', 'hard-link', 'other', 'source.raw', 'symlink']
      expect((await readdir(join(directory, 'new'))).toSorted()).toEqual(there)
    })

    test.runIf(hasLoopDevices('a torrent of a loop device'))(
      'what lies behind the device that it reads, and the device',
      async () => {
        await using disk = await createLoopDevice({ sizeBytes: 8 * MiB, directory })
        const name = (
          await readFile(`/sys/class/block/${basename(disk.path)}/loop/backing_file`, 'utf8')
        ).trim()
        for (const [output, words] of [
          [disk.path, / itself/],
          [name, /is what \/dev\/loop\d+ shows/],
        ] as const) {
          const flags = ['--path', disk.path, '--output', output, '--force']
          const refused = await run('torrent', 'create', ...flags)
          expect(refused.code).toBe(2)
          expect(refused.stderr).toMatch(words)
        }
      },
    )

    test('but with --force a file that is there is replaced, and nothing is left beside it', async () => {
      const output = join(directory, 'forced.torrent')
      await writeFile(output, 'old')
      expect((await create(output)).code).toBe(2)
      expect((await create(output, '--force')).code).toBe(0)
      const shown = await run('torrent', 'show', '--torrent', output)
      expect(shown.stdout).toContain('source.raw')
      const beside = (await readdir(directory)).filter((name) => name.startsWith('.'))
      expect(beside).toEqual([])
    })
  })

  test('seed says of a tracker that refuses what it says, once, and that it works again', async () => {
    let isUp = false
    let asked = 0
    const server = createServer((_, response) => {
      asked += 1
      response.end(isUp ? 'd5:peers0:e' : 'd14:failure reason9:no such 0e')
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    const url = `http://127.0.0.1:${port}/0123456789abcdef/announce`
    const output = join(directory, 'warned.torrent')
    const seed = start(['seed', '--path', image.path, '--output', output, '--tracker', url])
    const shown = `http://127.0.0.1:${port}/***/announce`
    await seed.says(/warning: tracker fails/)
    await expect.poll(() => asked, { timeout: 60_000 }).toBeGreaterThan(2)
    isUp = true
    await seed.says(/warning: tracker answers again/)
    seed.child.kill('SIGINT')
    const { stderr } = await seed.finished
    expect(stderr.trim().split('\n')).toEqual([
      `ironswarm: warning: tracker fails: ${shown}: refused: no such 0`,
      `ironswarm: warning: tracker answers again: ${shown}`,
    ])
    server.closeAllConnections()
    server.close()
  })

  test('seed --json is an object every 10 s and at the end, with figures alone', async () => {
    const output = join(directory, 'figures.torrent')
    const seed = start([
      ...['seed', '--path', image.path, '--output', output, '--tracker', tracker.url, '--json'],
    ])
    await seed.says(/"port":\d/)
    seed.child.kill('SIGINT')
    const { code, report, stdout } = await seed.finished
    expect(code).toBe(0)
    for (const text of stdout.trim().split('\n')) {
      expect(JSON.parse(text)).toMatchObject({
        trackers: 1,
        failing_trackers: 0,
        peers: 0,
        rate: 0,
      })
    }
    expect(report['port']).toBeGreaterThan(0)
  })

  test.each([
    ['--path', '/no/such.raw', /cannot read \/no\/such.raw: ENOENT/],
    ['--path', '/tmp', /\/tmp is neither a file nor a device/],
    ['--tracker', 'nonsense', /--tracker is "nonsense"/],
    ['--web-seed', 'ftp://h/i', /--web-seed is "ftp:/],
    ['--piece-length', '3000', /multiple of 16 KiB/],
    ['--piece-length', 'much', /no number of bytes/],
    ['--length', '1G', /has 33554432 bytes, --length asks for 1073741824/],
  ])('torrent create refuses %s %s before it reads the image', async (flag, value, words) => {
    const output = join(directory, 'unmade.torrent')
    const flags = ['--path', image.path, '--output', output, flag, value]
    const ended = await run('torrent', 'create', ...flags)
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toMatch(words)
    const packed = await run('torrent', 'create', ...flags, '--zstd', `${output}.zst`)
    expect(packed).toMatchObject({ code: 2, stdout: '' })
    expect((await readdir(directory)).filter((name) => name.startsWith('unmade'))).toEqual([])
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

  test.each([
    ['a file that is no torrent', ['package.json'], /InvalidMetainfoError: package\.json: torrent/],
    ['a file without end', ['/dev/zero'], /\/dev\/zero is too long to be a \.torrent/],
    ['no file', [], /no \.torrent is named/],
    ['two files', ['--torrent', 'a', 'b'], /b and a: which\?/],
  ])('torrent show of %s ends with 2 and one line', async (_what, words, expected) => {
    const ended = await run('torrent', 'show', ...words)
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr.trim().split('\n')).toHaveLength(1)
    expect(ended.stderr).toMatch(expected)
  })

  test('the name in a torrent of a stranger gives no order to the terminal', async () => {
    const path = join(directory, 'stranger.torrent')
    const bytes = (await readFile(torrent)).toString('latin1')
    // as long as before
    await writeFile(path, bytes.replace('9:image.raw', '9:ima\u001B[2Jaw'), 'latin1')
    const shown = await run('torrent', 'show', path)
    expect(shown.stdout).toMatch(/^ima \[2Jaw\n/)
  })
})
