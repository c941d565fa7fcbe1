import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import WebTorrent from 'webtorrent'
import type {
  LibraryClient,
  LibraryTorrent,
  LibraryWire,
} from '../../../agent/sources/swarm/library/types.ts'
import { imageBytes, startTracker, torrentOf, until } from '../../integration/swarm/lab.ts'

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
})

test('torrent, wire and peer have the internals the seam touches', async () => {
  const tracker = await startTracker()
  try {
    const { torrentFile } = await torrentOf(imageBytes(200_000), { trackers: [tracker.url] })
    const { client, torrent } = start(torrentFile)
    const wires: LibraryWire[] = []
    torrent.on('wire', (wire) => wires.push(wire))
    await until(() => torrent.ready, 'ready')
    expect(client._connPool._pendingConns).toBeInstanceOf(Set)
    expect(client._connPool.tcpServer.listening).toBe(true)
    start(torrentFile)
    await until(() => wires.length > 0, 'a wire')
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
  } finally {
    await tracker[Symbol.asyncDispose]()
  }
})

test('the wire asks its own _onMessageLength, so that the limit on messages is in effect', async () => {
  const source = readFileSync('node_modules/bittorrent-protocol/index.js', 'utf8')
  expect(source).toContain('this._parse(4, this._onMessageLength)')
  expect(source).toMatch(/_parse \(size, parser\) \{\s+this\._parserSize = size/)
})
