import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parseMetainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import {
  imageBytes,
  MiB,
  sha256,
  startNode,
  startTracker,
  type TestTracker,
  torrentOf,
} from '../../integration/swarm/lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { hasPackages } from '../../support/packages.ts'
import { freePort, stopChild } from '../../support/processes.ts'

const isPossible = hasPackages('interop')

const LIBTORRENT_CREATE = `
import sys, libtorrent as lt
path, out, tracker, piece, flags = sys.argv[1:6]
fs = lt.file_storage()
lt.add_files(fs, path)
t = lt.create_torrent(fs, int(piece), int(flags))
t.add_tracker(tracker)
lt.set_piece_hashes(t, sys.argv[6])
open(out, 'wb').write(lt.bencode(t.generate()))
`

const LIBTORRENT_SEED = `
import sys, time, libtorrent as lt
torrent, folder, port = sys.argv[1:4]
ses = lt.session({'listen_interfaces': '127.0.0.1:' + port, 'enable_dht': False, 'enable_lsd': False,
  'enable_upnp': False, 'enable_natpmp': False, 'allow_multiple_connections_per_ip': True})
h = ses.add_torrent({'ti': lt.torrent_info(torrent), 'save_path': folder})
while True:
  time.sleep(0.1)
`

const V1_ONLY = 64 // libtorrent's create_torrent::v1_only

describe.skipIf(!isPossible)('other BitTorrent programs', () => {
  const image = imageBytes(4 * MiB + 4321, 7)
  let folder = ''
  let imagePath = ''
  let tracker: TestTracker
  const children: ChildProcess[] = []

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ironswarm-interop-'))
    imagePath = join(folder, 'image.raw')
    writeFileSync(imagePath, image)
    tracker = await startTracker()
  })
  afterEach(async () => {
    await Promise.all(children.splice(0).map(stopChild))
  })
  afterAll(async () => {
    await tracker[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const run = (command: string, ...args: string[]) => {
    const { status, stderr, stdout } = spawnSync(command, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${command}: ${stderr}${stdout}`)
  }
  const start = (command: string, ...args: string[]) => {
    children.push(spawn(command, args, { stdio: 'ignore' }))
  }
  const torrentFrom = (name: string, make: (output: string) => void): Uint8Array => {
    const output = join(folder, name)
    make(output)
    return readFileSync(output)
  }
  const makers: Record<string, (output: string) => void> = {
    mktorrent: (output) => run('mktorrent', '-a', tracker.url, '-l', '16', '-o', output, imagePath),
    'libtorrent (v1)': (output) =>
      run(
        '/usr/bin/python3',
        '-c',
        LIBTORRENT_CREATE,
        imagePath,
        output,
        tracker.url,
        '65536',
        `${V1_ONLY}`,
        folder,
      ),
    'libtorrent (hybrid)': (output) =>
      run(
        '/usr/bin/python3',
        '-c',
        LIBTORRENT_CREATE,
        imagePath,
        output,
        tracker.url,
        '65536',
        '0',
        folder,
      ),
    'transmission-create': (output) =>
      run('transmission-create', '-t', tracker.url, '-s', '64', '-o', output, imagePath),
  }

  for (const [who, make] of Object.entries(makers)) {
    test(`a torrent made by ${who} deploys`, async () => {
      const torrent = torrentFrom(`${who.replaceAll(/\W/g, '')}.torrent`, make)
      const metainfo = parseMetainfo(torrent, { expectedBytes: image.length })
      expect(metainfo.trackers).toEqual([[tracker.url]])
      const origin = await createHttpOrigin({ bytes: image })
      const node = startNode({ metainfo, originUrls: [origin.url] })
      try {
        await node.delivered
        expect(sha256(node.disk)).toBe(sha256(image))
      } finally {
        await node.source[Symbol.asyncDispose]()
        await origin[Symbol.asyncDispose]()
      }
    })
  }

  const seeders: Record<string, (torrent: string, port: number) => void> = {
    aria2c: (torrent, port) =>
      start(
        'aria2c',
        '--dir',
        folder,
        '--check-integrity=true',
        '--seed-ratio=0.0',
        '--enable-dht=false',
        '--bt-enable-lpd=false',
        '--enable-peer-exchange=false',
        `--listen-port=${port}`,
        torrent,
      ),
    libtorrent: (torrent, port) =>
      start('/usr/bin/python3', '-c', LIBTORRENT_SEED, torrent, folder, `${port}`),
    transmission: (torrent, port) =>
      start(
        'transmission-cli',
        '-D',
        '-et',
        '-M',
        '-g',
        join(folder, 'config'),
        '-w',
        folder,
        '-p',
        `${port}`,
        torrent,
      ),
  }

  for (const [index, [who, seed]] of Object.entries(seeders).entries()) {
    // another info-hash each, so that no other program still counts as a peer
    const pieceLength = 32 * 1024 * 2 ** index
    // transmission takes one connection per address, and all of loopback is one
    const nodeCount = who === 'transmission' ? 1 : 2
    test(`a deploy seeded only by ${who}`, async () => {
      const { torrentFile, metainfo } = await torrentOf(image, {
        pieceLength,
        trackers: [tracker.url],
        image: {
          name: 'image.raw',
          read: async (range) => image.subarray(range.offset, range.offset + range.length),
        },
        isPrivate: who === 'aria2c',
      })
      const torrent = join(folder, `${who}.torrent`)
      writeFileSync(torrent, torrentFile)
      seed(torrent, await freePort())
      const nodes = Array.from({ length: nodeCount }, () =>
        startNode({ metainfo, limits: { stallTimeoutMs: 50_000 } }),
      )
      try {
        await Promise.all(nodes.map((node) => node.delivered))
        for (const node of nodes) expect(sha256(node.disk)).toBe(sha256(image))
      } finally {
        for (const node of nodes) await node.source[Symbol.asyncDispose]()
      }
    })
  }

  test('aria2c fetches from our node alone', async () => {
    const { torrentFile, metainfo } = await torrentOf(image, { trackers: [tracker.url] })
    const torrent = join(folder, 'ours.torrent')
    writeFileSync(torrent, torrentFile)
    const node = startNode({
      metainfo,
      onDisk: { range: { offset: 0, length: image.length }, bytes: image },
    })
    const target = mkdtempSync(join(folder, 'aria-'))
    try {
      await node.delivered
      const child = spawn(
        'aria2c',
        [
          '--dir',
          target,
          '--seed-time=0',
          '--enable-dht=false',
          '--bt-enable-lpd=false',
          `--listen-port=${await freePort()}`,
          torrent,
        ],
        { stdio: 'ignore' },
      )
      const code = await new Promise((resolve) => child.once('exit', resolve))
      expect(code).toBe(0)
      expect(sha256(readFileSync(join(target, 'image.raw')))).toBe(sha256(image))
    } finally {
      await node.source[Symbol.asyncDispose]()
    }
  })
})
