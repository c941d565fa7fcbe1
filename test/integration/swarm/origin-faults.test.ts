// Origins and trackers that fail, lie or are away.
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import type { HttpOriginFaults } from '../../support/http-origin.ts'
import { freePort } from '../../support/processes.ts'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, startServer, type TestNode, torrentOf, until } from './lab.ts'

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
