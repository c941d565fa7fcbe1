import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { createArenaBudget } from '../../../../../agent/sources/swarm/thread/arena-budget.ts'
import type { PieceAccess } from '../../../../../agent/sources/swarm/thread/piece-transfer.ts'
import { startSwarmRun } from '../../../../../agent/sources/swarm/thread/swarm-run.ts'
import {
  createWorkerStarter,
  SWARM_WORKER,
} from '../../../../../agent/sources/swarm/thread/worker-host.ts'
import {
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
} from '../../../../../agent/sources/swarm/torrent/metainfo.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import { createLogger } from '../../../../../agent/telemetry/logger.ts'
import { taskOf } from '../../../../integration/swarm/lab.ts'
import { recordedStream } from '../../../../support/event-lab.ts'

const PIECE = BLOCK_BYTES
const pieces = createHash('sha1').update(new Uint8Array(PIECE)).digest()
const info = encodeInfo({ name: 'x', lengthBytes: PIECE, pieceLength: PIECE, pieces })
const metainfo = parseMetainfo(encodeMetainfo(info))

/** With a worker that says this, or these one after the other, and then waits for the end. */
function runWith(
  news: object,
  access: PieceAccess,
  events = recordedStream(),
  memory = createArenaBudget(16 * PIECE),
) {
  const code = `import { parentPort } from 'node:worker_threads'
    parentPort.on('message', () => parentPort.postMessage({ kind: 'closed' }))
    for (const each of ${JSON.stringify([news].flat())}) parentPort.postMessage(each)`
  const script = new URL(`data:text/javascript,${encodeURIComponent(code)}`)
  return startSwarmRun(taskOf({ metainfo }), {
    memory,
    startWorker: createWorkerStarter({ ...SWARM_WORKER, script }),
    log: createLogger({ level: 'silent' }),
    events,
    onDisk: new Uint8Array(1),
    onPiece: () => undefined,
    onRefuted: () => undefined,
    onOriginLost: () => undefined,
    onRefused: () => undefined,
    onFailure: () => undefined,
    ...access,
  })
}

test('pieces that are read for others are no progress of our own; those that are written are', async () => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const called: string[] = []
  const options = {
    readImage: () => {
      called.push('read')
      return promise
    },
    writePiece: async () => {
      called.push('write')
      await promise
    },
  }
  const reading = runWith({ kind: 'read', piece: 0, slot: 0 }, options)
  const writing = runWith(
    { kind: 'piece', piece: 0, slot: 0, length: PIECE, from: 'peers' },
    options,
  )
  await expect.poll(() => called.toSorted()).toEqual(['read', 'write'])
  expect(reading.isWriting).toBe(false)
  expect(writing.isWriting).toBe(true)
  resolve(new Uint8Array(PIECE))
  await Promise.all([reading.close(), writing.close()])
})

test('a tracker that fails is told of once, and no longer counts when the swarm ends', async () => {
  const events = recordedStream()
  const news = { kind: 'tracker', tracker: 'http://t/announce', state: 'failing', words: 'no' }
  const access = {
    readImage: async () => new Uint8Array(PIECE),
    writePiece: async () => undefined,
  }
  const run = runWith([news, news], access, events)
  const told = () => events.seen.filter(({ type }) => type === 'tracker')
  await expect.poll(told).toHaveLength(1)
  await run.close()
  expect(told()).toMatchObject([
    { state: 'failing', reason: 'no', fields: { info_hash: metainfo.infoHash } },
    { state: 'left' },
  ])
})

test('a torrent is told of with its pieces, peers and trackers, and that it is left', async () => {
  const events = recordedStream()
  const tracker = {
    tracker: 'http://t/announce',
    state: 'answering',
    words: '',
    nodes: 3,
    askedSecondsAgo: 1,
    nextInSeconds: 2,
  }
  const view = {
    kind: 'view',
    asked: 1,
    served: 0,
    peerList: [],
    trackers: [tracker],
    badPieces: { origin: 0, peers: 1 },
  }
  const figures = { peers: 2, uploadedBytes: 9, originBytes: 0, peerBytes: 5, duplicateBytes: 0 }
  const access = {
    readImage: async () => new Uint8Array(PIECE),
    writePiece: async () => undefined,
  }
  const run = runWith([{ kind: 'pulse', figures }, view], access, events)
  const told = () => events.seen.filter(({ type }) => type === 'torrent')
  await expect.poll(told).toHaveLength(1)
  expect(events.snapshot().torrent).toMatchObject({ infoHash: metainfo.infoHash, peers: 2 })
  await run.close()
  expect(told()).toMatchObject([
    {
      state: 'fetching',
      asked: 1,
      pieces: { total: 1, done: 0, map: '0' },
      trackers: [tracker],
      bytes: { peers: 5, uploaded: 9 },
    },
    { state: 'left', peers: 0, trackers: [], badPieces: { peers: 1 } },
  ])
  expect(events.snapshot().torrent).toBeNull()
})

test("a run that is closed twice gives its memory back once: by then it may be another torrent's", async () => {
  const memory = createArenaBudget(16 * PIECE)
  const access = {
    readImage: async () => new Uint8Array(PIECE),
    writePiece: async () => undefined,
  }
  const events = recordedStream()
  const view = { kind: 'view', asked: 0, served: 0, peerList: [], trackers: [], badPieces: {} }
  const run = runWith([view], access, events, memory)
  const states = () => events.seen.flatMap((each) => (each.type === 'torrent' ? [each.state] : []))
  await expect.poll(states, { timeout: 30_000 }).toEqual(['fetching'])
  await run.close()
  using other = memory.share(PIECE, 1)
  const itsOwn = other.allocate()
  await run.close()
  expect(other.allocate()).not.toBe(itsOwn)
  expect(states()).toEqual(['fetching', 'left'])
})
