import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import WebTorrent from 'webtorrent'
import {
  type AnnounceTarget,
  startTrackers,
} from '../../../agent/sources/swarm/library/trackers.ts'
import type {
  LibraryClient,
  LibraryDiscovery,
  LibraryTorrent,
  LibraryTracker,
  LibraryWire,
} from '../../../agent/sources/swarm/library/types.ts'
import {
  imageBytes,
  startServer,
  startTracker,
  torrentOf,
  until,
} from '../../integration/swarm/lab.ts'
import { freePort } from '../../support/processes.ts'

const clients: LibraryClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) await new Promise<void>((done) => client.destroy(done))
})

const start = (torrentFile: Uint8Array): { client: LibraryClient; torrent: LibraryTorrent } => {
  const client = new WebTorrent({
    dht: false,
    lsd: false,
    utp: false,
    natUpnp: false,
    natPmp: false,
    webSeeds: false,
    secure: 0,
    tracker: { wrtc: false },
  }) as LibraryClient
  clients.push(client)
  return { client, torrent: client.add(torrentFile, { deselect: true, path: '/nonexistent' }) }
}

const packageVersion = (name: string): string =>
  JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version

test('the versions are those the seam was written against', () => {
  expect(packageVersion('webtorrent')).toBe('3.0.21')
  expect(packageVersion('bittorrent-protocol')).toBe('5.0.9')
  expect(packageVersion('bittorrent-tracker')).toBe('11.2.3')
})

test('torrent, wire, peer and tracker have the internals the seam touches', async () => {
  const tracker = await startTracker()
  try {
    const { torrentFile } = await torrentOf(imageBytes(200_000), { trackers: [tracker.url] })
    const { client, torrent } = start(torrentFile)
    const wires: LibraryWire[] = []
    let answers = 0
    torrent.on('trackerAnnounce', () => {
      answers += 1
    })
    torrent.on('wire', (wire) => wires.push(wire))
    await until(() => torrent.ready, 'ready')
    start(torrentFile)
    await until(() => wires.length > 0, 'a wire')
    await until(() => answers > 0, 'the answer of a tracker')
    for (const method of [
      '_update',
      '_updateWire',
      '_updateWireInterest',
      '_updateInterest',
      '_rechoke',
      '_addPeer',
      '_addIncomingPeer',
      'addPeer',
      'removePeer',
      '_hasAllPieces',
      '_hasNoPieces',
      '_checkDone',
    ] as const) {
      expect(torrent[method], method).toBeTypeOf('function')
    }
    expect(torrent._peers).toBeInstanceOf(Map)
    const [wire] = wires as [LibraryWire]
    const peer = [...(torrent._peers?.values() ?? [])].find((each) => each.wire === wire)
    expect(torrent._peers?.get(peer?.id ?? '')).toBe(peer)
    expect(peer?.id).toMatch(/^(::ffff:)?127\.0\.0\.1:\d+$/)
    expect(peer?.destroy).toBeTypeOf('function')
    expect(peer?.conn?.writableLength).toBeTypeOf('number')
    expect(peer?.conn?._handle?.readStop).toBeTypeOf('function')
    expect(peer?.conn?._handle?.reading).toBe(true)
    expect(peer?.conn?._readableState.ended).toBe(false)
    for (const method of ['_onMessageLength', '_onMessage', '_onExtended', '_write'] as const) {
      expect(wire[method], method).toBeTypeOf('function')
    }
    expect(wire._buffer).toBeInstanceOf(Array)
    expect(wire._sendExtendedHandshake).toBeTypeOf('function')
    expect(wire._extendedHandshakeSent).toBe(true)
    expect(wire._bufferSize).toBeTypeOf('number')
    expect(wire._parser).toBeTypeOf('function')
    expect(wire.push).toBeTypeOf('function')
    // other messages may be on their way too
    const passed: number[] = []
    peer?.on('upload', (bytes) => passed.push(bytes))
    wire.have(0)
    await until(() => passed.includes(9), 'the nine bytes of a HAVE')
    expect(wire._parserSize).toBeTypeOf('number')
    expect(wire.type).toMatch(/^tcp(Incoming|Outgoing)$/)
    expect(wire.extendedHandshake).toBeTypeOf('object')
    expect(wire.peerExtendedMapping).toBeTypeOf('object')
    expect(wire.use).toBeTypeOf('function')
    const discovery = torrent.discovery as LibraryDiscovery
    for (const event of [
      '_onWarning',
      '_onError',
      '_onTrackerPeer',
      '_onTrackerAnnounce',
    ] as const) {
      expect(discovery[event], event).toBeTypeOf('function')
    }
    expect(discovery).toMatchObject({
      infoHash: torrent.infoHash,
      peerId: client.peerId,
      _port: client.torrentPort,
      _intervalMs: 15 * 60 * 1000,
      _trackerOpts: { wrtc: false },
    })
    expect(discovery._userAgent).toMatch(/^WebTorrent/)
    for (const method of ['constructor', 'on', 'setInterval', 'start'] as const) {
      expect(discovery.tracker[method], method).toBeTypeOf('function')
    }
    const [announced] = discovery.tracker._trackers
    expect(announced?.announceUrl).toBe(tracker.url)
    expect(announced?.cleanupFns).toBeInstanceOf(Array)
    expect(announced?._request).toBeTypeOf('function')
    expect(discovery.tracker._defaultAnnounceOpts()).toMatchObject({ numwant: 50 })
  } finally {
    await tracker[Symbol.asyncDispose]()
  }
})

/** A torrent that is announced to this url alone. */
async function announceTo(url: string) {
  const { torrent } = start((await torrentOf(imageBytes(200_000))).torrentFile)
  await until(() => torrent.ready, 'ready')
  const warnings: string[] = []
  const troubles: string[] = []
  torrent.on('warning', (warning) => warnings.push(String(warning)))
  const discovery = torrent.discovery as LibraryDiscovery
  const [target] = startTrackers(discovery, [url], {
    onSwarmSize: () => undefined,
    onTrouble: (message) => troubles.push(message),
  }) as [AnnounceTarget]
  const [tracker] = discovery.tracker._trackers as [LibraryTracker]
  return { target, tracker, warnings, troubles }
}

test('a tracker that refuses a connection is not busy afterwards, and no request is left of it', async () => {
  const url = `http://127.0.0.1:${await freePort()}/announce`
  const { target, tracker, warnings, troubles } = await announceTo(url)
  expect(target.isBusy).toBe(true)
  await until(() => warnings.length > 0, 'the refusal of the first request')
  await until(() => !target.isBusy, 'its end')
  target.announce()
  expect(target.isBusy).toBe(true)
  await until(() => !target.isBusy, 'the end of the request')
  expect(tracker.cleanupFns).toEqual([])
  expect(troubles).toEqual([])
})

// what the library does not expect would else reject a promise that nobody holds
test.each([
  ['fails for no reason', 'http', 'd14:failure reasoni5ee', 23],
  ['breaks off', 'http', 'd8:int', 1000],
  ['breaks off, and whose url is spelt in capitals,', 'HTTP', 'd8:int', 1000],
])(
  'a tracker whose answer %s is not busy afterwards, and somebody learns of it',
  async (_name, scheme, body, length) => {
    const head = `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`
    await using server = await startServer((socket) =>
      socket.once('data', () => socket.end(head + body)),
    )
    const { target, troubles } = await announceTo(`${scheme}://127.0.0.1:${server.port}/announce`)
    await until(() => troubles.length === 1, 'the trouble')
    await until(() => !target.isBusy, 'the end of the request')
  },
)

test('the wire asks its own _onMessageLength, so that the limit on messages is in effect', async () => {
  const source = readFileSync('node_modules/bittorrent-protocol/index.js', 'utf8')
  expect(source).toContain('this._parse(4, this._onMessageLength)')
  expect(source).toMatch(/_parse \(size, parser\) \{\s+this\._parserSize = size/)
})
