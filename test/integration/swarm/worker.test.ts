import { readFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import {
  createWorkerStarter,
  SWARM_WORKER,
  type WorkerKind,
} from '../../../agent/sources/swarm/thread/worker-host.ts'
import { BLOCK_BYTES } from '../../../agent/sources/swarm/torrent/piece-layout.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { keepUntilEnd } from '../../support/resources.ts'
import {
  imageBytes,
  type NodeOptions,
  sha256,
  startNode,
  startServer,
  type TestNode,
  torrentOf,
  until,
} from './lab.ts'

// what the tests' own tracker would load here; the thread has an environment of its own
vi.hoisted(() => Object.assign(process.env, { WS_NO_BUFFER_UTIL: '1', WS_NO_UTF_8_VALIDATE: '1' }))

const keep = keepUntilEnd()

const PIECE = BLOCK_BYTES
/** A worker of test/integration/swarm/workers. */
const starterOf = (name: string, limits: Partial<WorkerKind> = {}) =>
  createWorkerStarter({
    ...SWARM_WORKER,
    script: new URL(`./workers/${name}.ts`, import.meta.url),
    ...limits,
  })
const node = (options: NodeOptions): TestNode => keep(startNode(options))

/** @param delayMs so long that the worker does not finish before it crashes or hangs */
async function serve(pieceCount: number, delayMs = 10) {
  const image = imageBytes(pieceCount * PIECE, 3)
  const { metainfo } = await torrentOf(image, { pieceLength: PIECE })
  const origin = keep(await createHttpOrigin({ bytes: image, faults: { delayMs } }))
  return { image, metainfo, origin }
}

test('a worker that crashes is started again and goes on where it was', async () => {
  const { image, metainfo, origin } = await serve(19, 100)
  const lines: string[] = []
  const crashing = node({
    metainfo,
    originUrls: [origin.url],
    startWorker: starterOf('crashes-after-ten-pieces'),
    onLog: (line) => lines.push(line),
  })
  await crashing.delivered
  expect(lines.filter((line) => line.includes('swarm worker restarted'))).not.toEqual([])
  expect(sha256(crashing.disk)).toBe(sha256(image))
  // at most what was in flight at a crash is fetched again
  expect(crashing.writtenBytes()).toBeLessThan(image.length + 2 * 8 * PIECE)
})

test('the thread loads no native addon of ws, which would end the process with it', async () => {
  const { image, metainfo, origin } = await serve(2, 0)
  const loading = node({ metainfo, originUrls: [origin.url] })
  await loading.delivered
  expect(sha256(loading.disk)).toBe(sha256(image))
  // mapped as long as the process lives, whichever thread loaded it
  expect(await readFile('/proc/self/maps', 'utf8')).not.toMatch(/bufferutil|utf-8-validate/)
})

test('a worker that keeps crashing ends the delivery, not the agent, and the coverage stays', async () => {
  const { metainfo, origin } = await serve(200)
  const crashing = node({
    metainfo,
    originUrls: [origin.url],
    startWorker: starterOf('crashes-after-ten-pieces'),
  })
  await expect(crashing.delivered).rejects.toMatchObject({ type: 'SwarmError', kind: 'source' })
  await expect(crashing.delivered).rejects.toThrow(/a crash of the library/)
  expect(crashing.coverage.coveredBytes).toBeGreaterThanOrEqual(40 * PIECE)
})

test('a worker that hangs is replaced', async () => {
  const { image, metainfo, origin } = await serve(19, 100)
  const lines: string[] = []
  const hanging = node({
    metainfo,
    originUrls: [origin.url],
    startWorker: starterOf('hangs-after-ten-pieces', { hangMs: 3000 }),
    onLog: (line) => lines.push(line),
  })
  await hanging.delivered
  expect(lines.filter((line) => line.includes('hangs: no sign of life'))).not.toEqual([])
  expect(sha256(hanging.disk)).toBe(sha256(image))
})

test('a worker that never starts is tried twice, then the delivery ends', async () => {
  const { metainfo, origin } = await serve(4)
  const lines: string[] = []
  const mute = node({
    metainfo,
    originUrls: [origin.url],
    startWorker: createWorkerStarter({
      script: new URL('data:text/javascript,setInterval(() => 0, 1000)'),
      startMs: 300,
      hangMs: 60_000,
    }),
    onLog: (line) => lines.push(line),
  })
  await expect(mute.delivered).rejects.toMatchObject({ type: 'SwarmError', kind: 'source' })
  await expect(mute.delivered).rejects.toThrow(/has not started/)
  expect(lines.filter((line) => line.includes('swarm worker restarted'))).toHaveLength(1)
})

/** Their answers break off, or make no sense. */
const NONSENSE = [
  'd14:failure reasoni5ee',
  'd5:peersli1eee',
  'd8:intervali-1e5:peers3:abce',
  'x',
  '',
]

async function startNonsense(body: string): Promise<string> {
  const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  const server = keep(await startServer((socket) => socket.once('data', () => socket.end(answer))))
  return `http://127.0.0.1:${server.port}/announce`
}

test('a tracker whose answers make no sense does not crash the worker', async () => {
  const { image, metainfo, origin } = await serve(28)
  const lines: string[] = []
  const trackers = await Promise.all(NONSENSE.map(startNonsense))
  const told = node({
    metainfo,
    trackers,
    originUrls: [origin.url],
    onLog: (line) => lines.push(line),
  })
  await told.delivered
  expect(sha256(told.disk)).toBe(sha256(image))
  await until(() => lines.some((line) => line.includes('"tracker"')), 'a warning')
  expect(lines.filter((line) => line.includes('restarted'))).toEqual([])
})
