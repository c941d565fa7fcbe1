// Peers that misbehave, or are gone in mid-way.
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { connectAttacker } from '../../support/hostile/attacking-peer.ts'
import type { HttpOriginFaults } from '../../support/http-origin.ts'
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
