import { expect, test } from 'vitest'
import {
  type SimulatedNode,
  SimulatedSwarm,
} from '../../../../../support/simulated-swarm/simulated-swarm.ts'

const PIECE = 64 * 1024
const PIECES = 128
const IMAGE = PIECE * PIECES
const RATE = 1024 * 1024
/** Virtual ms that one copy takes at the rate of a node. */
const BOUND_MS = (IMAGE / RATE) * 1000

const swarmOf = (originRate = RATE) =>
  new SimulatedSwarm({ pieceCount: PIECES, pieceLength: PIECE, originRate })
const node = { upload: RATE, hasOrigin: true }

test('between two racks each piece crosses about once, and nobody is slower for it', async () => {
  const swarm = swarmOf()
  const nodes = Array.from({ length: 8 }, (_, index) => swarm.add({ ...node, rack: index % 2 }))
  const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(nodes.every((each) => each.engine.isComplete)).toBe(true)
  // both directions together: each rack brings half of the image and needs the other half
  expect(swarm.crossedBytes / IMAGE).toBeLessThan(1.25)
  expect(swarm.originBytes / IMAGE).toBeLessThan(1.2)
  expect(took / BOUND_MS).toBeLessThan(1.6)
})

test('a rack that joins late takes one copy from the others', async () => {
  const swarm = swarmOf()
  const early = [0, 1].map(() => swarm.add({ ...node, rack: 0 }))
  await swarm.run(() => early.every((each) => each.engine.isComplete), 10 * BOUND_MS)
  const late = [0, 1, 2].map(() => swarm.add({ ...node, rack: 1 }))
  await swarm.run(() => late.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(late.every((each) => each.engine.isComplete)).toBe(true)
  expect(swarm.crossedBytes / IMAGE).toBeLessThan(1.25)
})

test('nodes of three racks with one node each do not wait for neighbours', async () => {
  const swarm = swarmOf()
  const nodes = [0, 1, 2].map((rack) => swarm.add({ ...node, rack }))
  const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(took / BOUND_MS).toBeLessThan(1.5)
})

test('a neighbour at one per cent of the speed does not slow a node with a fast peer elsewhere', async () => {
  const swarm = swarmOf()
  swarm.add({ upload: RATE / 100, hasOrigin: false, isSeed: true, rack: 0 })
  swarm.add({ upload: RATE, hasOrigin: false, isSeed: true, rack: 1 })
  const leech = swarm.add({ upload: RATE, hasOrigin: false, rack: 0 })
  const took = await swarm.run(() => leech.engine.isComplete, 30 * BOUND_MS)
  expect(leech.engine.isComplete).toBe(true)
  expect(took / BOUND_MS).toBeLessThan(2.5)
})

test('an owner in the rack that brings nothing across is helped out', async () => {
  const swarm = swarmOf()
  swarm.add({ upload: RATE, hasOrigin: false, isSeed: true, rack: 1 })
  const lame = swarm.add({ upload: RATE / 100, hasOrigin: false, rack: 0 })
  const fast = [0, 1].map(() => swarm.add({ upload: RATE, hasOrigin: false, rack: 0 }))
  const took = await swarm.run(() => fast.every((each) => each.engine.isComplete), 30 * BOUND_MS)
  expect(fast.every((each) => each.engine.isComplete)).toBe(true)
  expect(took / BOUND_MS).toBeLessThan(3)
  await swarm.run(() => lame.engine.isComplete, 60 * BOUND_MS)
  expect(lame.engine.isComplete).toBe(true)
})

test('neighbours that leave in mid-way leave nothing behind', async () => {
  const swarm = swarmOf()
  const nodes = Array.from({ length: 8 }, (_, index) => swarm.add({ ...node, rack: index % 2 }))
  await swarm.run(() => nodes.every((each) => each.engine.figures.peers > IMAGE / 5), 10 * BOUND_MS)
  // three of four in one rack
  for (const gone of [0, 2, 4]) swarm.leave(nodes[gone] as SimulatedNode)
  const rest = nodes.filter((_, index) => ![0, 2, 4].includes(index))
  await swarm.run(() => rest.every((each) => each.engine.isComplete), 30 * BOUND_MS)
  expect(rest.every((each) => each.engine.isComplete)).toBe(true)
})

test('a peer that turns out to be far after a while changes nothing for the worse', async () => {
  const swarm = swarmOf()
  let isKnown = false
  const nodes = Array.from({ length: 6 }, (_, index) =>
    swarm.add({ ...node, rack: index % 2, isRackKnown: () => isKnown }),
  )
  swarm.after(BOUND_MS / 4, () => {
    isKnown = true
  })
  await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(nodes.every((each) => each.engine.isComplete)).toBe(true)
})
