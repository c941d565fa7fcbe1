import { expect, test } from 'vitest'
import {
  type ArenaBudget,
  createArenaBudget,
} from '../../../agent/sources/swarm/thread/arena-budget.ts'
import { keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, sha256, type TestNode, torrentOf, until } from './lab.ts'

const { node: start, serve, startTracker } = keptSwarm()

type Swarm = Awaited<ReturnType<typeof startAll>>[number]

/** Images that share a tracker; two nodes each, all in this process. */
async function startAll(count: number, delayMs: number, memory?: ArenaBudget) {
  const tracker = await startTracker()
  return await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const image = imageBytes(3 * MiB + index * 1000, index + 1)
      const { metainfo } = await torrentOf(image)
      const origin = await serve(image, { delayMs })
      const common = { metainfo, trackers: [tracker.url], ...(memory && { memory }) }
      const owner = start({ ...common, originUrls: [origin.url] })
      const other = start(common)
      return { image, origin, nodes: [owner, other] as [TestNode, TestNode] }
    }),
  )
}

test('several torrents at once in one agent do not get in each other’s way', async () => {
  const all = await startAll(3, 30)
  for (const { image, nodes } of all) {
    for (const node of nodes) {
      await node.delivered
      expect(sha256(node.disk)).toBe(sha256(image))
    }
  }
  const ports = all.flatMap(({ nodes }) => nodes.map((node) => node.source.port))
  expect(new Set(ports).size).toBe(6)
  for (const { image, origin } of all) expect(origin.bytesSent).toBe(image.length)
})

test('one torrent that ends leaves the others alone', async () => {
  const [ending, staying] = (await startAll(2, 100)) as [Swarm, Swarm]
  const [owner, other] = ending.nodes
  await until(() => owner.coverage.coveredBytes > 0, 'the first piece')
  await owner.source[Symbol.asyncDispose]()
  await other.source[Symbol.asyncDispose]()
  for (const node of staying.nodes) {
    await node.delivered
    expect(sha256(node.disk)).toBe(sha256(staying.image))
  }
  expect(owner.coverage.isComplete).toBe(false)
})

test('all torrents of one agent share its memory, and give it back', async () => {
  const memory = createArenaBudget(6 * MiB)
  const all = await startAll(3, 10, memory)
  // three slots of 2 MiB are all there is
  expect(() => memory.share(2 * MiB, 3)).toThrow(/of 6.0 MiB are left/)
  for (const { image, nodes } of all) {
    for (const node of nodes) {
      await node.delivered
      expect(sha256(node.disk)).toBe(sha256(image))
    }
  }
  // not before: the last ones are served by the others
  for (const node of all.flatMap(({ nodes }) => nodes)) await node.source[Symbol.asyncDispose]()
  memory.share(2 * MiB, 3)
})

test('a torrent that finds no memory says so at once, and how to help it', async () => {
  const { metainfo } = await torrentOf(imageBytes(MiB, 1))
  const node = start({ metainfo, memory: createArenaBudget(metainfo.pieceLength) })
  await expect(node.delivered).rejects.toMatchObject({
    type: 'SwarmError',
    details: expect.stringContaining('ipa-swarm-memory'),
  })
})
