import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { connectAttacker } from '../../support/hostile/attacking-peer.ts'
import type { HttpOriginFaults } from '../../support/http-origin.ts'
import { freePort } from '../../support/processes.ts'
import { announce, startHostilePeer } from './hostile-peer.ts'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, startServer, type TestNode, torrentOf, until } from './lab.ts'
import { createFolder, startNodeProcess } from './node-processes.ts'

const { keep, node, serve: serveBytes, startTracker } = keptSwarm()

const image = imageBytes(3 * MiB + 777)
const serve = (faults: HttpOriginFaults = {}) => serveBytes(image, faults)

interface LogLine {
  readonly msg: string
  readonly reason?: string
}

function collectLog(): { lines: LogLine[]; onLog: (line: string) => void } {
  const lines: LogLine[] = []
  return { lines, onLog: (line) => lines.push(JSON.parse(line)) }
}

test('a peer that flips bytes is found out and dropped, and the image is right', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const liar = keep(
    await startHostilePeer(tracker.url, {
      metainfo,
      onRequest: (talk, { piece, offset, length }) => {
        const at = piece * metainfo.pieceLength + offset
        const block = image.slice(at, at + length)
        block[0] = (block[0] as number) ^ 0xff
        talk.sendBlock(piece, offset, block)
      },
    }),
  )
  const origin = await serve({ delayMs: 30 })
  const { lines, onLog } = collectLog()
  const honest = [0, 1].map(() =>
    node({ metainfo, trackers: [tracker.url], originUrls: [origin.url], onLog }),
  )
  await Promise.all(honest.map((each) => each.delivered))
  for (const each of honest) expect(sha256(each.disk)).toBe(sha256(image))
  expect(liar.requests()).toBeGreaterThan(0)
  const dropped = lines.filter((line) => line.msg === 'peer dropped')
  expect(dropped.length).toBeGreaterThan(0)
  // nobody but the liar: both honest nodes are still connected to each other
  await until(() => honest.every((each) => each.source.stats().peers === 1), 'the honest peer')
})

test('a peer that answers nothing does not hinder the others', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  keep(await startHostilePeer(tracker.url, { metainfo }))
  const origin = await serve()
  const honest = [0, 1].map(() =>
    node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] }),
  )
  await Promise.all(honest.map((each) => each.delivered))
  for (const each of honest) expect(sha256(each.disk)).toBe(sha256(image))
})

/** BEP 10. */
function extended(id: number, payload: string): Buffer {
  const bytes = Buffer.from(`____\u0014_${payload}`, 'latin1')
  bytes.writeUInt32BE(bytes.length - 4, 0)
  bytes[5] = id
  return bytes
}

const ABUSE: Record<string, Buffer[]> = {
  'sends garbage': [Buffer.alloc(100_000, 0x5a)],
  'has everything and nothing in turns': new Array(50).fill(
    Buffer.from([0, 0, 0, 1, 14, 0, 0, 0, 1, 15]),
  ),
  'introduces itself at length': Array.from({ length: 200 }, (_, turn) =>
    extended(0, `d1:md1000:${String(turn).padStart(1000, 'x')}i9eee`),
  ),
  'knows tens of thousands of others': [extended(1, `d5:added200000:${'x'.repeat(200_000)}e`)],
  'asks for a metadata extension it has not named': [extended(1, 'd8:msg_typei0e5:piecei0ee')],
  'chokes and unchokes without end': new Array(2000).fill(
    Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 1, 1]),
  ),
  'keeps alive without end': [Buffer.alloc(4 * MiB)],
  'announces a message of 2 GiB': [Buffer.from([0x7f, 0xff, 0xff, 0xff, 7]), Buffer.alloc(MiB)],
}

// at once the library reads it, later our own parser
const HARM = Object.entries(ABUSE).flatMap(([what, messages]) => [
  { what, messages, when: 'at once', delayMs: 0 },
  { what, messages, when: 'later', delayMs: 500 },
])
HARM.push({
  what: 'has the pieces of another torrent',
  messages: [Buffer.from([0, 0, 0, 3, 5, 0xff, 0])],
  when: 'later',
  delayMs: 500,
})

for (const { what, messages, when, delayMs } of HARM) {
  test(`a peer that ${what}, ${when}, is disconnected before it fills the memory`, async () => {
    const { metainfo } = await torrentOf(image)
    const tracker = await startTracker()
    let closed = 0
    keep(
      await startHostilePeer(tracker.url, {
        metainfo,
        onReady: ({ socket }) => {
          socket.on('close', () => {
            closed += 1
          })
          socket.on('error', () => undefined)
          setTimeout(() => {
            for (const message of messages) socket.write(message)
          }, delayMs)
        },
      }),
    )
    const { lines, onLog } = collectLog()
    const seed = node({
      metainfo,
      trackers: [tracker.url],
      onLog,
      ...havingAll(image),
    })
    await seed.delivered
    await until(() => closed > 0, 'the end of the connection')
    expect(lines.filter((line) => line.msg === 'swarm worker restarted')).toEqual([])
  })
}

/** An HTTP server that reads the request and then does this. */
const badTracker = async (onRequest: (socket: Socket) => void) => {
  const server = keep(await startServer((socket) => socket.once('data', () => onRequest(socket))))
  return `http://127.0.0.1:${server.port}/announce`
}

test('a tracker that breaks off or stalls in mid-body costs nothing', async () => {
  const { metainfo } = await torrentOf(image)
  const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nd8:int'
  const breaking = await badTracker((socket) => socket.end(head))
  const stalling = await badTracker((socket) => void socket.write(head))
  const good = await startTracker()
  const origin = await serve()
  const trackers = [breaking, stalling, good.url]
  const { lines, onLog } = collectLog()
  const seed = node({ metainfo, trackers, originUrls: [origin.url], onLog })
  await seed.delivered
  const leech = node({ metainfo, trackers })
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
  // it is told of, and the worker lives on
  await until(() => lines.some((line) => line.msg === 'tracker fails'), 'the warning')
  expect(lines.filter((line) => line.msg === 'swarm worker restarted')).toEqual([])
})

test('without any tracker alive each node falls back to the origin', async () => {
  const { metainfo } = await torrentOf(image)
  const dead = `http://127.0.0.1:${await freePort()}/announce`
  const origin = await serve()
  const nodes = [0, 1].map(() =>
    node({ metainfo, trackers: [dead, 'udp://127.0.0.1:1/announce'], originUrls: [origin.url] }),
  )
  await Promise.all(nodes.map((each) => each.delivered))
  expect(origin.bytesSent).toBe(2 * image.length)
})

const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'
const DEAD_TRACKERS: [string, () => Promise<string>][] = [
  ['refuses', async () => `http://127.0.0.1:${await freePort()}/announce`],
  ['never answers', () => badTracker(() => undefined)],
  ['knows nothing', () => badTracker((socket) => socket.end(NOT_FOUND))],
]

test.each(DEAD_TRACKERS)(
  'a tracker that %s is not missed while another one is alive',
  async (_name, open) => {
    const { metainfo } = await torrentOf(image)
    const good = await startTracker()
    const trackers = [await open(), good.url]
    const seed = node({
      metainfo,
      trackers,
      ...havingAll(image),
    })
    const leech = node({ metainfo, trackers })
    await leech.delivered
    expect(sha256(leech.disk)).toBe(sha256(image))
    expect(seed.writtenBytes()).toBe(0)
  },
)

test('nodes find each other by a tracker that comes up 5 s after them', async () => {
  const { metainfo } = await torrentOf(image)
  const port = await freePort()
  const trackers = [`http://127.0.0.1:${port}/announce`]
  const { lines, onLog } = collectLog()
  const seed = node({
    metainfo,
    trackers,
    ...havingAll(image),
    onLog,
  })
  // without local discovery there is no other way to each other
  const leech = node({ metainfo, trackers, limits: { stallTimeoutMs: 45_000 } })
  await seed.delivered
  await until(() => lines.some((line) => line.msg === 'tracker fails'), 'the first refusal')
  await new Promise((resolve) => setTimeout(resolve, 5000))
  expect(leech.source.stats().peers).toBe(0)
  const tracker = await startTracker({ port })
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
  // both have asked it, from the start (BEP 3); a seed that nobody knew of did not wait its half minute
  expect(tracker.events.get('start')).toBe(2)
})

test('the origin dies in mid-way while a peer has everything', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve({ delayMs: 50 })
  const leech = node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] })
  await until(() => leech.coverage.coveredBytes > 0, 'the first piece')
  await origin.goDown()
  node({
    metainfo,
    trackers: [tracker.url],
    ...havingAll(image),
  })
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
})

test('the origin dies at 30 % for good and nobody else has the image: a clear error, nothing is lost', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve({ delayMs: 100 })
  const trackers = [tracker.url]
  const limits = { stallTimeoutMs: 2500 }
  const nodes = [0, 1].map(() => node({ metainfo, trackers, originUrls: [origin.url], limits }))
  const parts = () => nodes.map((each) => each.coverage.coveredBytes)
  await until(() => Math.min(...parts()) > 0.3 * image.length, '30 %')
  await origin.goDown()
  for (const each of nodes) {
    await expect(each.delivered).rejects.toMatchObject({
      type: 'SwarmStalledError',
      kind: 'source',
    })
    expect(each.coverage.isComplete).toBe(false)
  }
  // they have shared what there was
  const [first, second] = nodes as [TestNode, TestNode]
  expect(first.coverage.coveredBytes).toBe(second.coverage.coveredBytes)
  // what comes next, HTTP, goes on from here
  for (const { coverage, disk } of nodes) {
    const expected = image.slice()
    for (const { offset, length } of coverage.missing()) expected.fill(0, offset, offset + length)
    expect(sha256(disk)).toBe(sha256(expected))
  }
})

test('an origin with wrong bytes in one place is no harm while a peer has them right', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve({ corruptAt: 200_000 })
  const common = { metainfo, trackers: [tracker.url] }
  const nodes = [0, 1].map(() => node({ ...common, originUrls: [origin.url], mode: 'require' }))
  const wrongPiece = Math.floor(200_000 / metainfo.pieceLength) * metainfo.pieceLength
  await until(() => nodes.every(({ coverage }) => coverage.coveredBytes > MiB), 'a MiB')
  node({ ...common, ...havingAll(image) })
  for (const each of nodes) {
    await each.delivered
    expect(each.coverage.has({ offset: wrongPiece, length: metainfo.pieceLength })).toBe(true)
    expect(sha256(each.disk)).toBe(sha256(image))
  }
})

test('the origin is away for a while and nobody else has the image', async () => {
  const { metainfo } = await torrentOf(image)
  const origin = await serve({ delayMs: 30 })
  const leech = node({ metainfo, originUrls: [origin.url] })
  await until(() => leech.coverage.coveredBytes > 0, 'the first piece')
  await origin.goDown()
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await origin.comeBack()
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
})

test('the peers die in mid-way and the origin does the rest', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve({ delayMs: 20 })
  const seed = node({
    metainfo,
    trackers: [tracker.url],
    ...havingAll(image),
    limits: { uploadLimit: MiB / 2 },
  })
  await seed.delivered
  const leech = node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] })
  await until(() => seed.source.stats().uploadedBytes > 0, 'an upload')
  await seed.source[Symbol.asyncDispose]()
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
})

test('an origin with wrong bytes in one place ends in a clear error, not in an endless loop', async () => {
  const { metainfo } = await torrentOf(image)
  const origin = await serve({ corruptAt: 200_000 })
  const leech = node({ metainfo, originUrls: [origin.url] })
  await expect(leech.delivered).rejects.toMatchObject({ type: 'SwarmError', kind: 'source' })
  await expect(leech.delivered).rejects.toThrow(/wrong SHA-1|failed their hash/)
  const wrongPiece = Math.floor(200_000 / metainfo.pieceLength) * metainfo.pieceLength
  expect(leech.coverage.has({ offset: wrongPiece, length: 1 })).toBe(false)
  // three strikes, and pieces that were in flight
  expect(origin.bytesSent).toBeLessThan(image.length + 8 * metainfo.pieceLength)
})

test('an origin that ignores Range is given up at once, and peers still count', async () => {
  const { metainfo } = await torrentOf(image)
  const origin = await serve({ ignoreRange: true })
  const lonely = node({ metainfo, originUrls: [origin.url] })
  await expect(lonely.delivered).rejects.toMatchObject({ type: 'SwarmError', kind: 'source' })
  const tracker = await startTracker()
  node({
    metainfo,
    trackers: [tracker.url],
    ...havingAll(image),
  })
  const leech = node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] })
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
})

test('nothing from anywhere ends in SwarmStalledError, and the coverage stays', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const part = image.slice(0, MiB)
  const stalled = node({
    metainfo,
    trackers: [tracker.url],
    mode: 'require',
    limits: { stallTimeoutMs: 1500 },
    onDisk: { range: { offset: 0, length: MiB }, bytes: part },
  })
  await expect(stalled.delivered).rejects.toMatchObject({
    type: 'SwarmStalledError',
    kind: 'source',
  })
  expect(stalled.coverage.coveredBytes).toBe(MiB)
})

test('a peer that closes at our handshake, as those do that require encryption, is named', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const server = keep(await startServer((socket) => socket.once('data', () => socket.destroy())))
  await announce(tracker.url, metainfo, randomBytes(20), server.port)
  const { lines, onLog } = collectLog()
  const lonely = node({
    metainfo,
    trackers: [tracker.url],
    mode: 'require',
    limits: { stallTimeoutMs: 6000 },
    onLog,
  })
  await expect(lonely.delivered).rejects.toMatchObject({
    type: 'SwarmStalledError',
    details: expect.stringMatching(`127.0.0.1:${server.port} closed .* encryption`),
  })
  expect(lines.filter(({ msg }) => msg.startsWith('peer closes connections')).length).toBe(1)
})

test('an origin lost for good is waited out where nothing else may bring the image', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const gone = keep(
    await startServer((socket) =>
      socket.once('data', () =>
        socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'),
      ),
    ),
  )
  const { lines, onLog } = collectLog()
  const waiting = node({
    metainfo,
    trackers: [tracker.url],
    originUrls: [`http://127.0.0.1:${gone.port}/image`],
    mode: 'require',
    limits: { stallTimeoutMs: 4000 },
    onLog,
  })
  await until(() => lines.some((line) => line.msg === 'origin given up'), 'the end of the origin')
  // twice as long as without an origin
  await new Promise((resolve) => setTimeout(resolve, 8000))
  node({ metainfo, trackers: [tracker.url], ...havingAll(image) })
  await waiting.delivered
  expect(sha256(waiting.disk)).toBe(sha256(image))
})

test('a piece that is wrong on the disk is missing for whoever comes next', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const part = image.slice(0, MiB)
  part.fill(7, 0, metainfo.pieceLength)
  const stalled = node({
    metainfo,
    trackers: [tracker.url],
    limits: { stallTimeoutMs: 4000 },
    onDisk: { range: { offset: 0, length: MiB }, bytes: part },
  })
  await expect(stalled.delivered).rejects.toMatchObject({ type: 'SwarmStalledError' })
  expect(stalled.coverage.missing()[0]).toEqual({ offset: 0, length: metainfo.pieceLength })
})

test('a peer that has a magnet link only gets the info dictionary', async () => {
  const { metainfo } = await torrentOf(image)
  const seed = node({ metainfo, trackers: ['http://127.0.0.1:9/announce'], ...havingAll(image) })
  await until(() => seed.source.port !== undefined, 'the port')
  let heard = Buffer.alloc(0)
  using peer = await connectAttacker({
    port: seed.source.port ?? 0,
    infoHash: metainfo.infoHash,
    onData: (bytes) => {
      heard = Buffer.concat([heard, bytes])
    },
  })
  peer.send(extended(0, 'd1:md11:ut_metadatai3eee'))
  await until(() => /11:ut_metadatai\d+e/.test(heard.toString('latin1')), 'its handshake')
  const id = Number(/11:ut_metadatai(\d+)e/.exec(heard.toString('latin1'))?.[1])
  const info = Buffer.from(metainfo.info)
  for (let piece = 0; !heard.includes(info.subarray(16_384 * piece, 16_384 * (piece + 1))); ) {
    peer.send(extended(id, `d8:msg_typei0e5:piecei${piece}ee`))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  peer.send(extended(id, 'd8:msg_typei0e5:piecei9999ee'))
  await until(() => heard.includes('d8:msg_typei2e5:piecei9999ee'), 'the refusal')
})

test('several peers gone at once leave no piece behind', async () => {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve({ delayMs: 60 })
  const nodes = Array.from({ length: 4 }, () =>
    node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] }),
  )
  await until(() => nodes.every((each) => each.coverage.coveredBytes > MiB / 2), 'half a MiB')
  const [first, second, ...gone] = nodes as [TestNode, TestNode, ...TestNode[]]
  await Promise.all(gone.map((each) => each.source[Symbol.asyncDispose]()))
  await Promise.all([first.delivered, second.delivered])
  expect(sha256(first.disk)).toBe(sha256(image))
  expect(sha256(second.disk)).toBe(sha256(image))
})

test('half of the nodes killed with SIGKILL in mid-way cost the others only a hand-over', async () => {
  const folder = keep(await createFolder())
  const { torrentFile, metainfo } = await torrentOf(image)
  const torrent = await folder.write('image.torrent', torrentFile)
  const tracker = await startTracker()
  const origin = await serve({ delayMs: 100 })
  const common = { trackers: [tracker.url], originUrls: [origin.url] }
  const survivors = [0, 1].map(() => node({ metainfo, ...common }))
  const victims = [0, 1].map(() => keep(startNodeProcess({ torrent, ...common })))
  await Promise.all(victims.map((victim) => victim.half))
  for (const victim of victims) victim.child.kill('SIGKILL')
  await Promise.all(survivors.map((each) => each.delivered))
  for (const each of survivors) expect(sha256(each.disk)).toBe(sha256(image))
})
