import { expect, test } from 'vitest'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, type NodeOptions, sha256, startServer, torrentOf, until } from './lab.ts'

const { keep, node, serve, startTracker } = keptSwarm()

const image = imageBytes(2 * MiB + 99)

/** A tracker and a node that has the image, with these limits. */
async function startSeed(limits: NodeOptions['limits'], trackers: readonly string[] = []) {
  const { metainfo } = await torrentOf(image)
  const tracker = await startTracker()
  const urls = [tracker.url, ...trackers]
  const seed = node({
    metainfo,
    trackers: urls,
    ...havingAll(image),
    ...(limits ? { limits } : {}),
  })
  await seed.delivered
  return { metainfo, tracker, seed, join: () => node({ metainfo, trackers: [tracker.url] }) }
}

test('a seed stops when it has uploaded as many copies as swarm_seed_ratio says', async () => {
  const { seed, tracker, join } = await startSeed({ seedRatio: 1 })
  const first = join()
  await first.delivered
  await until(() => tracker.events.has('stop'), 'the farewell')
  await until(() => first.source.stats().peers === 0, 'the end of the connection')
  expect(seed.source.stats().uploadedBytes).toBeGreaterThanOrEqual(image.length)
  // whoever comes later gets it from those who stay
  const second = join()
  await second.delivered
  expect(sha256(second.disk)).toBe(sha256(image))
  expect(seed.source.stats().uploadedBytes).toBeLessThan(1.5 * image.length)
})

test('below the ratio a seed stays', async () => {
  const { tracker, join } = await startSeed({ seedRatio: 2.5 })
  for (const each of [join(), join()]) await each.delivered
  expect(tracker.events.has('stop')).toBe(false)
})

test('a seed stops after swarm_seed_time', async () => {
  const { seed, tracker } = await startSeed({ seedTimeMs: 300 })
  await until(() => tracker.events.has('stop'), 'the farewell')
  expect(seed.coverage.isComplete).toBe(true)
})

test('the time for seeding begins with completion, not before', async () => {
  const { metainfo } = await torrentOf(image)
  const origin = await serve(image, { delayMs: 100 })
  const slow = node({ metainfo, originUrls: [origin.url], limits: { seedTimeMs: 1 } })
  await slow.delivered
  expect(sha256(slow.disk)).toBe(sha256(image))
})

test('a node that is told to leave does so, also with a tracker that does not answer', async () => {
  const hole = keep(await startServer(() => undefined))
  const { seed, tracker, join } = await startSeed({ uploadLimit: MiB / 2 }, [
    `http://127.0.0.1:${hole.port}/announce`,
  ])
  const leech = join()
  await until(() => leech.coverage.coveredBytes > 0, 'the first piece')
  await seed.source[Symbol.asyncDispose]()
  expect(tracker.events.has('stop')).toBe(true)
  const atTheEnd = leech.coverage.coveredBytes
  await until(() => leech.source.stats().peers === 0, 'the end of the connection')
  expect(leech.coverage.coveredBytes).toBeLessThan(image.length)
  expect(leech.coverage.coveredBytes - atTheEnd).toBeLessThan(MiB / 2)
})

test('uploads keep to the upload limit of the node, however many ask', async () => {
  const { seed, join } = await startSeed({ uploadLimit: MiB })
  const begunAt = performance.now()
  const leeches = [join(), join()]
  await until(() => leeches.some((each) => each.coverage.coveredBytes >= MiB), 'a MiB')
  // a lower bound cannot fail on a slow machine; a quarter of a second of burst is allowed
  const seconds = (performance.now() - begunAt) / 1000
  expect(seed.source.stats().uploadedBytes).toBeLessThanOrEqual((seconds + 0.5) * MiB)
  for (const each of leeches) await each.delivered
})

test('blocks from peers keep to the download limit', async () => {
  const { metainfo, tracker } = await startSeed({})
  const begunAt = performance.now()
  const limited = node({
    metainfo,
    trackers: [tracker.url],
    limits: { downloadLimit: MiB },
  })
  await limited.delivered
  const seconds = (performance.now() - begunAt) / 1000
  expect(image.length).toBeLessThanOrEqual((seconds + 0.5) * MiB)
  expect(sha256(limited.disk)).toBe(sha256(image))
})
