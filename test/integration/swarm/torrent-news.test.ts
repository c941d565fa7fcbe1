// What is told of a real torrent: of one node that has it and one that fetches it, by a real tracker.
import { expect, test } from 'vitest'
import { swarmDocument } from '../../../agent/api/watching/swarm.ts'
import { havingAll, keptSwarm } from './kept-swarm.ts'
import { imageBytes, MiB, torrentOf } from './lab.ts'

const WAIT = { timeout: 120_000, interval: 100 }
const { node, startTracker } = keptSwarm()

test('a swarm is told of with its pieces, its peers, its trackers and what was sent', async () => {
  const image = imageBytes(16 * MiB)
  const { metainfo } = await torrentOf(image)
  const { url } = await startTracker()
  const trackers = [url]
  const seed = node({ metainfo, trackers, ...havingAll(image) })
  const leech = node({ metainfo, trackers })
  await leech.delivered
  const { pieceCount } = metainfo
  // figures come now and then, the last of them after the last piece
  await expect
    .poll(() => leech.events.snapshot().torrent, WAIT)
    .toMatchObject({
      state: 'seeding',
      infoHash: metainfo.infoHash,
      pieces: { total: pieceCount, done: pieceCount },
      bytes: { origin: 0, peers: image.length },
      badPieces: { origin: 0, peers: 0 },
      trackers: [{ tracker: url, state: 'answering', nextInSeconds: expect.any(Number) }],
      webseeds: [],
    })
  await expect.poll(() => seed.events.snapshot().torrent?.bytes.uploaded, WAIT).toBe(image.length)
  await expect.poll(() => seed.events.snapshot().torrent?.peerList.length, WAIT).toBe(1)
  const document = JSON.stringify(swarmDocument(seed.events.snapshot(), Date.now()))
  expect(document).toContain('"is_near":')
  expect(JSON.parse(document).torrent.peer_list[0].address).toMatch(/^127\.0\.0\.1:\d+$/)
  await leech.source[Symbol.asyncDispose]()
  expect(leech.events.snapshot().torrent).toBeNull()
})
