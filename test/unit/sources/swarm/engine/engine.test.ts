import { expect, test } from 'vitest'
import { SimulatedSwarm } from '../../../../support/simulated-swarm/simulated-swarm.ts'

const PIECE = 64 * 1024
const PIECES = 128
const IMAGE = PIECE * PIECES
const RATE = 1024 * 1024
/** Virtual ms that one copy takes at the rate of a node. */
const BOUND_MS = (IMAGE / RATE) * 1000

const swarmOf = (originRate = RATE) =>
  new SimulatedSwarm({ pieceCount: PIECES, pieceLength: PIECE, originRate })
const node = { upload: RATE, hasOrigin: true }

test('eight nodes take about one copy from the origin, near the time of one copy', async () => {
  const swarm = swarmOf()
  const nodes = Array.from({ length: 8 }, () => swarm.add(node))
  const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(nodes.every((each) => each.engine.isComplete)).toBe(true)
  expect(swarm.originBytes / IMAGE).toBeLessThan(1.2)
  expect(took / BOUND_MS).toBeLessThan(1.5)
})

test('a node alone reads one copy at the speed of the origin', async () => {
  const swarm = swarmOf()
  const alone = swarm.add(node)
  const took = await swarm.run(() => alone.engine.isComplete, 5 * BOUND_MS)
  expect(swarm.originBytes).toBe(IMAGE)
  expect(took / BOUND_MS).toBeLessThan(1.02)
})

test('a late joiner is served by the others', async () => {
  const swarm = swarmOf()
  const early = [0, 1].map(() => swarm.add(node))
  await swarm.run(() => early.every((each) => each.engine.isComplete), 10 * BOUND_MS)
  const before = swarm.originBytes
  const late = swarm.add(node)
  await swarm.run(() => late.engine.isComplete, 20 * BOUND_MS)
  expect(late.engine.isComplete).toBe(true)
  expect((swarm.originBytes - before) / IMAGE).toBeLessThan(0.1)
})

test('owners that die in mid-way leave nothing behind', async () => {
  const swarm = swarmOf()
  const nodes = Array.from({ length: 6 }, () => swarm.add(node))
  await swarm.run(() => nodes.every((each) => each.engine.figures.peers > IMAGE / 5), 10 * BOUND_MS)
  for (const gone of nodes.slice(0, 3)) swarm.leave(gone)
  const rest = nodes.slice(3)
  await swarm.run(() => rest.every((each) => each.engine.isComplete), 30 * BOUND_MS)
  expect(rest.every((each) => each.engine.isComplete)).toBe(true)
})

test('one slow owner does not make the others slow', async () => {
  const swarm = swarmOf(4 * RATE)
  const slow = swarm.add({ upload: RATE / 50, hasOrigin: true })
  const fast = [0, 1, 2].map(() => swarm.add(node))
  const took = await swarm.run(() => fast.every((each) => each.engine.isComplete), 30 * BOUND_MS)
  expect(took / BOUND_MS).toBeLessThan(2.5)
  await swarm.run(() => slow.engine.isComplete, 30 * BOUND_MS)
  expect(slow.engine.isComplete).toBe(true)
})

test('a slow seed that has everything does not keep a node from the origin', async () => {
  const swarm = swarmOf(4 * RATE)
  swarm.add({ upload: RATE / 50, hasOrigin: false, isSeed: true })
  const leech = swarm.add(node)
  const took = await swarm.run(() => leech.engine.isComplete, 30 * BOUND_MS)
  expect(took / BOUND_MS).toBeLessThan(1.5)
})

test('a liar is dropped by everybody it lies to, and nobody else is', async () => {
  const swarm = swarmOf()
  const liar = swarm.add({ upload: RATE, hasOrigin: false, isSeed: true, isLiar: true })
  const honest = Array.from({ length: 4 }, () => swarm.add(node))
  await swarm.run(() => honest.every((each) => each.engine.isComplete), 30 * BOUND_MS)
  expect(honest.every((each) => each.engine.isComplete)).toBe(true)
  await swarm.run(() => liar.engine.peerCount === 0, 40 * BOUND_MS)
  for (const each of honest) {
    expect(each.news.filter(({ kind }) => kind === 'peer dropped').length).toBe(1)
    expect(each.engine.peerCount).toBe(3)
  }
})

test('without an origin one seed is enough, and blocks hardly come twice', async () => {
  const swarm = swarmOf()
  swarm.add({ upload: RATE, hasOrigin: false, isSeed: true })
  const nodes = [0, 1, 2].map(() => swarm.add({ upload: RATE, hasOrigin: false }))
  const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(took / BOUND_MS).toBeLessThan(2)
  for (const { engine } of nodes) expect(engine.figures.duplicates / IMAGE).toBeLessThan(0.05)
})

test('everybody gone, and a peer back later: it goes on', async () => {
  const swarm = swarmOf()
  const seed = swarm.add({ upload: RATE, hasOrigin: false, isSeed: true })
  const leech = swarm.add({ upload: RATE, hasOrigin: false })
  await swarm.run(() => leech.engine.figures.peers > IMAGE / 4, 10 * BOUND_MS)
  swarm.leave(seed)
  await swarm.run(() => leech.engine.peerCount === 0, 20 * BOUND_MS)
  swarm.add({ upload: RATE, hasOrigin: false, isSeed: true })
  await swarm.run(() => leech.engine.isComplete, 40 * BOUND_MS)
  expect(leech.engine.isComplete).toBe(true)
})

test('where every answer takes seconds, nothing is asked for twice for that', async () => {
  const KiB = 1024
  const pieceLength = 64 * KiB
  const swarm = new SimulatedSwarm({ pieceCount: 192, pieceLength, originRate: 256 * KiB, seed: 5 })
  for (let i = 0; i < 20; i++) swarm.add({ upload: 256 * KiB, hasOrigin: true })
  const isDone = () => swarm.nodes.every((node) => node.engine.isComplete)
  await swarm.run(isDone, 600_000)
  expect(isDone()).toBe(true)
  const duplicates = swarm.nodes.reduce((sum, { engine }) => sum + engine.figures.duplicates, 0)
  expect(duplicates / (swarm.nodes.length * 192 * pieceLength)).toBeLessThan(0.04)
})
