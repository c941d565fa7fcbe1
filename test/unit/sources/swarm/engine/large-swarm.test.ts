// More nodes than fetch from the origin at a time (turns.ts), with what goes wrong in such swarms.
import { expect, test } from 'vitest'
import { CLAIM_KINDS } from '../../../../../agent/sources/swarm/engine/origin/claim.ts'
import { simulate } from '../../../../support/simulated-swarm/simulate.ts'
import { SimulatedSwarm } from '../../../../support/simulated-swarm/simulated-swarm.ts'

const PIECE = 32 * 1024
const PIECES = 96
const IMAGE = PIECE * PIECES
const RATE = 1024 * 1024
const NODES = 40
/** Virtual ms that one copy takes at the rate of a node. */
const BOUND_MS = (IMAGE / RATE) * 1000
const node = { upload: RATE, hasOrigin: true }

/** Every node is told how many there are when it comes. */
function begin(swarm: SimulatedSwarm, count = NODES) {
  return Array.from({ length: count }, (_, index) => {
    const each = swarm.add(node)
    swarm.after(20, () => each.engine.noteSwarmSize(index + 1))
    swarm.after(2000, () => each.engine.noteSwarmSize(count))
    return each
  })
}

const swarmOf = () =>
  new SimulatedSwarm({ pieceCount: PIECES, pieceLength: PIECE, originRate: RATE })

test('120 nodes that know a part of each other take little more than one copy', async () => {
  const pieceCount = 64
  const rate = 4 * 1024 * 1024
  const boundSeconds = (pieceCount * PIECE) / rate
  const { seconds, originCopies } = await simulate({
    nodeCount: 120,
    pieceCount,
    pieceLength: PIECE,
    maxInProgress: 15,
    nodeRate: rate,
    originRate: rate,
    racks: 1,
    uplinkRate: rate,
    isLeaving: false,
    seed: 1,
    windowBytes: 16 * 1024,
    latencyMs: 0.2,
    startSpreadMs: 50,
    limitMs: 20_000 * boundSeconds,
  })
  expect(seconds.length).toBe(120)
  expect(originCopies).toBeLessThan(1.35)
})

test('forty nodes: a few fetch, all get everything', async () => {
  const swarm = swarmOf()
  const nodes = begin(swarm)
  const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(nodes.filter((each) => !each.engine.isComplete)).toEqual([])
  expect(swarm.originBytes / IMAGE).toBeLessThan(1.3)
  expect(took / BOUND_MS).toBeLessThan(2)
})

test('all that fetch die: others take their turn', async () => {
  const swarm = swarmOf()
  const nodes = begin(swarm)
  await swarm.run(() => swarm.originBytes > IMAGE / 2, 10 * BOUND_MS)
  for (const each of nodes.slice(0, 32)) swarm.leave(each)
  const rest = nodes.slice(32)
  const took = await swarm.run(() => rest.every((each) => each.engine.isComplete), 30 * BOUND_MS)
  expect(rest.filter((each) => !each.engine.isComplete)).toEqual([])
  expect(took / BOUND_MS).toBeLessThan(3)
})

test.each([
  ['a small', 8],
  ['a large', NODES],
])(
  'in %s swarm a liar that claims everything again and again holds nobody up for long',
  async (_name, count) => {
    const swarm = swarmOf()
    const nodes = begin(swarm, count)
    const liar = swarm.add({ upload: RATE, hasOrigin: false })
    const wires = liar.wires
    const pieces = Array.from({ length: PIECES }, (_, piece) => piece)
    const lie = () => {
      for (const wire of wires) {
        wire.claim(CLAIM_KINDS.begun, 4, pieces.slice(0, 64))
        wire.claim(CLAIM_KINDS.begun, 4, pieces.slice(64))
      }
      swarm.after(250, lie)
    }
    swarm.after(5, lie)
    const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
    expect(nodes.filter((each) => !each.engine.isComplete)).toEqual([])
    // who has brought nothing yet is believed for 8 s
    expect(took - BOUND_MS).toBeLessThan(8000)
  },
)
