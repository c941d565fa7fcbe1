import { expect, test } from 'vitest'
import { createSeeder } from '../../../agent/sources/swarm/seeder.ts'
import { createArenaBudget } from '../../../agent/sources/swarm/thread/arena-budget.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { recordedStream } from '../../support/event-lab.ts'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, startWorkerUnderTest, taskOf, torrentOf, until } from './lab.ts'

const { node, serve, startTracker } = keptSwarm()

test('four nodes that start together take about one copy from the origin', async () => {
  const image = imageBytes(12 * MiB + 12_345)
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve(image, { delayMs: 50 })
  const nodes = Array.from({ length: 4 }, () =>
    node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] }),
  )
  await Promise.all(nodes.map((each) => each.delivered))
  for (const each of nodes) {
    expect(sha256(each.disk)).toBe(sha256(image))
    expect(each.coverage.isComplete).toBe(true)
    expect(each.writtenBytes()).toBe(image.length)
  }
  expect(origin.bytesSent / image.length).toBeLessThan(1.3)
})

test('one node alone reads the origin once, several ranges at a time', async () => {
  const image = imageBytes(8 * MiB + 1)
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image, { delayMs: 20 })
  const alone = node({ metainfo, originUrls: [origin.url] })
  await alone.delivered
  expect(sha256(alone.disk)).toBe(sha256(image))
  expect(origin.connections.peak).toBeGreaterThan(2)
  expect(origin.bytesSent).toBe(image.length)
})

test('two urls of the image are both used or failed over', async () => {
  const image = imageBytes(2 * MiB)
  const { metainfo } = await torrentOf(image)
  const good = await serve(image)
  const bad = await serve(image, { status: 404 })
  const alone = node({ metainfo, originUrls: [bad.url, good.url] })
  await alone.delivered
  expect(sha256(alone.disk)).toBe(sha256(image))
})

test('a node seeds from its disk after completion, without any origin', async () => {
  const image = imageBytes(6 * MiB)
  const { metainfo } = await torrentOf(image, { pieceLength: 256 * 1024 })
  const tracker = await startTracker()
  const first = node({
    metainfo,
    trackers: [tracker.url],
    ...havingAll(image),
  })
  await first.delivered
  const late = node({ metainfo, trackers: [tracker.url] })
  await late.delivered
  expect(sha256(late.disk)).toBe(sha256(image))
  expect(first.writtenBytes()).toBe(0)
  await until(() => first.source.stats().uploadedBytes >= image.length, 'the last figures')
})

test('pieces another source brought are verified and not fetched; wrong ones are', async () => {
  const image = imageBytes(4 * MiB)
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image)
  const half = image.slice(0, 2 * MiB)
  half[70_000] = (half[70_000] as number) ^ 1 // in the second piece of 64 KiB
  const resumed = node({
    metainfo,
    originUrls: [origin.url],
    onDisk: { range: { offset: 0, length: half.length }, bytes: half },
  })
  await resumed.delivered
  expect(sha256(resumed.disk)).toBe(sha256(image))
  expect(origin.bytesSent).toBe(2 * MiB + 64 * 1024)
})

test('a piece of which another source brought a part is fetched whole', async () => {
  const image = imageBytes(1 * MiB)
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image)
  const part = { offset: 0, length: 100_000 }
  const resumed = node({
    metainfo,
    originUrls: [origin.url],
    onDisk: { range: part, bytes: image.slice(0, part.length) },
  })
  await resumed.delivered
  expect(sha256(resumed.disk)).toBe(sha256(image))
  expect(origin.bytesSent).toBe(1 * MiB - 64 * 1024)
})

test('the trackers hear started, completed and stopped', async () => {
  const image = imageBytes(1 * MiB)
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve(image)
  const only = node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] })
  await only.delivered
  await until(() => tracker.events.has('complete'), 'completed')
  await only.source[Symbol.asyncDispose]()
  expect([...tracker.events.keys()]).toEqual(expect.arrayContaining(['start', 'complete', 'stop']))
})

// BEP 3: no `completed` is sent if the file was complete when started
test('who seeds an image that was whole from the start is announced, and not as having completed it', async () => {
  const image = imageBytes(1 * MiB)
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  {
    await using _seeder = createSeeder(taskOf({ metainfo, trackers: [tracker.url] }), {
      readImage: async ({ offset, length }) => image.subarray(offset, offset + length),
      memory: createArenaBudget(16 * MiB),
      startWorker: startWorkerUnderTest,
      log: createLogger({ level: 'silent' }),
      events: recordedStream(),
    })
    await until(() => tracker.events.has('update'), 'a later announce')
  }
  expect([...tracker.events.keys()].sort()).toEqual(['start', 'stop', 'update'])
})

test('a UDP tracker works as well as an HTTP one', async () => {
  const image = imageBytes(2 * MiB)
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker({ udp: true })
  const origin = await serve(image)
  const seed = node({ metainfo, trackers: [tracker.url], originUrls: [origin.url] })
  await seed.delivered
  const leech = node({ metainfo, trackers: [tracker.url] })
  await leech.delivered
  expect(sha256(leech.disk)).toBe(sha256(image))
})

test('nobody fetches more than the download limit allows', async () => {
  const image = imageBytes(2 * MiB)
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image)
  const limited = node({
    metainfo,
    originUrls: [origin.url],
    limits: { downloadLimit: 1 * MiB },
  })
  const begunAt = performance.now()
  await limited.delivered
  // a lower bound cannot fail on a slow machine; a quarter of a second of burst is allowed
  expect(performance.now() - begunAt).toBeGreaterThan(1500)
  expect(sha256(limited.disk)).toBe(sha256(image))
})

test('aborting ends the delivery and leaves no connection behind', async () => {
  const image = imageBytes(8 * MiB)
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image, { delayMs: 100 })
  const controller = new AbortController()
  const aborted = node({ metainfo, originUrls: [origin.url], signal: controller.signal })
  await until(() => aborted.coverage.coveredBytes > 0, 'the first piece')
  controller.abort()
  await expect(aborted.delivered).rejects.toMatchObject({ type: 'CancelledError' })
  await until(() => origin.connections.now === 0, 'connections closed')
})

test('a sink that fails ends the delivery with its own error', async () => {
  const image = imageBytes(1 * MiB)
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image)
  const full = node({
    metainfo,
    originUrls: [origin.url],
    onWrite: () => Promise.reject(new Error('ENOSPC')),
  })
  await expect(full.delivered).rejects.toThrow('ENOSPC')
})

test('pieces are announced only after they are written', async () => {
  const image = imageBytes(1 * MiB)
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const origin = await serve(image)
  const gate = Promise.withResolvers<void>()
  const slow = node({
    metainfo,
    trackers: [tracker.url],
    originUrls: [origin.url],
    onWrite: () => gate.promise,
  })
  const waiting = node({ metainfo, trackers: [tracker.url] })
  await until(() => waiting.source.stats().peers > 0, 'a connection')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(waiting.coverage.coveredBytes).toBe(0)
  gate.resolve()
  await Promise.all([slow.delivered, waiting.delivered])
})
