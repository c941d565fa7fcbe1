import { expect, test } from 'vitest'
import {
  type NodeSettings,
  type SimulatedNode,
  SimulatedSwarm,
} from '../../../../support/simulated-swarm/simulated-swarm.ts'

const PIECE = 64 * 1024
const PIECES = 128
const IMAGE = PIECE * PIECES
const RATE = 1024 * 1024
/** Virtual ms that one copy takes at the rate of a node: eight healthy nodes take 1.1 times as long. */
const BOUND_MS = (IMAGE / RATE) * 1000
const BAD_PIECE = 40
const node: NodeSettings = { upload: RATE, hasOrigin: true }
const seed: NodeSettings = { upload: RATE, hasOrigin: false, isSeed: true }

interface Fault {
  readonly name: string
  /** Starts everybody; resolves to those who must end well. */
  begin(swarm: SimulatedSwarm): Promise<readonly SimulatedNode[]>
  /** Multiples of the bound for the last of them. */
  readonly limit: number
  readonly originCopies: number
}

const many = (swarm: SimulatedSwarm, count: number) =>
  Array.from({ length: count }, () => swarm.add(node))

/** Until each has this share of the image. */
async function reach(swarm: SimulatedSwarm, nodes: readonly SimulatedNode[], share: number) {
  const progress = ({ engine: { figures } }: SimulatedNode) => figures.peers + figures.origin
  const isThere = () => nodes.every((each) => progress(each) > share * IMAGE)
  await swarm.run(isThere, 10 * BOUND_MS)
  expect(isThere()).toBe(true)
}

const FAULTS: readonly Fault[] = [
  {
    name: 'nothing is wrong',
    begin: async (swarm) => many(swarm, 8),
    limit: 1.3,
    originCopies: 1.2,
  },
  {
    name: 'one peer at one per cent of the speed',
    begin: async (swarm) => {
      swarm.add({ ...node, upload: RATE / 100 })
      return many(swarm, 7)
    },
    limit: 1.8,
    originCopies: 1.5,
  },
  {
    // four seconds, half of the bound, show that it is silent
    name: 'a peer that claims everything and sends nothing',
    begin: async (swarm) => {
      swarm.add({ upload: 1, hasOrigin: false, isSeed: true })
      return many(swarm, 7)
    },
    limit: 2.2,
    originCopies: 1.5,
  },
  {
    name: 'a peer that sends garbage',
    begin: async (swarm) => {
      swarm.add({ ...seed, isLiar: true })
      return many(swarm, 7)
    },
    limit: 1.5,
    originCopies: 1.4,
  },
  {
    name: 'half of the nodes die half-way',
    begin: async (swarm) => {
      const victims = many(swarm, 4)
      const rest = many(swarm, 4)
      await reach(swarm, rest, 0.5)
      for (const victim of victims) swarm.leave(victim)
      return rest
    },
    limit: 1.5,
    originCopies: 1.4,
  },
  {
    name: 'the origin dies at 30 %, and then somebody with everything comes',
    begin: async (swarm) => {
      const nodes = many(swarm, 7)
      await reach(swarm, nodes, 0.3)
      swarm.originAnswer = () => 'refused'
      swarm.add(seed)
      return nodes
    },
    limit: 2,
    originCopies: 0.7,
  },
  {
    name: 'the origin has wrong bytes in one place, and somebody with everything comes',
    begin: async (swarm) => {
      swarm.originAnswer = (piece) => (piece === BAD_PIECE ? 'wrong' : 'right')
      const nodes = many(swarm, 7)
      await reach(swarm, nodes, 0.7)
      swarm.add(seed)
      return nodes
    },
    limit: 2,
    originCopies: 1.4,
  },
  {
    name: 'the clock of one node jumps by an hour',
    begin: async (swarm) => {
      let shiftMs = 0
      const jumping = swarm.add({ ...node, clockShiftMs: () => shiftMs })
      const rest = many(swarm, 7)
      await reach(swarm, rest, 0.5)
      shiftMs = 3_600_000
      return [jumping, ...rest]
    },
    limit: 1.5,
    originCopies: 1.3,
  },
  {
    name: 'a node joins half-way',
    begin: async (swarm) => {
      const nodes = many(swarm, 7)
      await reach(swarm, nodes, 0.5)
      return [...nodes, swarm.add(node)]
    },
    limit: 1.8,
    originCopies: 1.3,
  },
]

test.each(FAULTS)('$name: nothing is lost, nobody waits long', async (fault) => {
  const swarm = new SimulatedSwarm({ pieceCount: PIECES, pieceLength: PIECE, originRate: RATE })
  const nodes = await fault.begin(swarm)
  const took = await swarm.run(() => nodes.every((each) => each.engine.isComplete), 20 * BOUND_MS)
  expect(nodes.filter((each) => !each.engine.isComplete)).toEqual([])
  expect(took / BOUND_MS).toBeLessThan(fault.limit)
  expect(swarm.originBytes / IMAGE).toBeLessThan(fault.originCopies)
})

test('without any good copy of a piece everything else arrives, and the origin is given up', async () => {
  const swarm = new SimulatedSwarm({ pieceCount: PIECES, pieceLength: PIECE, originRate: RATE })
  swarm.originAnswer = (piece) => (piece === BAD_PIECE ? 'wrong' : 'right')
  const nodes = many(swarm, 4)
  const isGivenUp = ({ news }: SimulatedNode) =>
    news.some((each) => each.kind === 'origin trouble' && each.isFinal)
  const lacks = ({ engine }: SimulatedNode) =>
    Array.from({ length: PIECES }, (_, piece) => piece).filter((piece) => !engine.has(piece))
  await swarm.run(
    () => nodes.every((each) => isGivenUp(each) && lacks(each).length === 1),
    20 * BOUND_MS,
  )
  expect(nodes.map(lacks)).toEqual(nodes.map(() => [BAD_PIECE]))
  expect(nodes.every(isGivenUp)).toBe(true)
  expect(swarm.originBytes / IMAGE).toBeLessThan(1.5)
})
