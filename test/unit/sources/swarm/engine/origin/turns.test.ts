import { expect, test } from 'vitest'
import { MAX_FETCHES, Turns } from '../../../../../../agent/sources/swarm/engine/origin/turns.ts'

function createNode(options: { peers: number; fetching?: number; random?: () => number }) {
  return new Turns({
    random: options.random ?? Math.random,
    peerCount: () => options.peers,
    othersFetching: () => options.fetching ?? 0,
  })
}

test('nobody waits in a small swarm, or alone, whatever a tracker says', () => {
  const small = createNode({ peers: MAX_FETCHES - 1, fetching: 1000 })
  small.noteSwarmSize(20)
  small.noteEnd()
  expect(small.isLimited).toBe(false)
  expect(small.isOurs).toBe(true)
  const alone = createNode({ peers: 0 })
  alone.noteSwarmSize(1000)
  alone.isLate()
  expect(alone.isLimited).toBe(false)
  expect(alone.isOurs).toBe(true)
})

test('a tracker is believed as far as we know peers ourselves', () => {
  const node = createNode({ peers: 9 })
  node.noteSwarmSize(1_000_000)
  expect(node.swarmSize).toBe(200)
  node.noteSwarmSize(0)
  expect(node.swarmSize).toBe(10)
})

test('of a thousand nodes that all come late about as many begin as the origin has room for', () => {
  const nodes = Array.from({ length: 1000 }, () => createNode({ peers: 100 }))
  for (const node of nodes) {
    node.noteSwarmSize(1000)
    expect(node.isLate()).toBe(true)
    expect(node.isOurs).toBe(false)
    node.draw(() => true)
  }
  const begun = nodes.filter((node) => node.isOurs).length
  expect(begun).toBeGreaterThan(MAX_FETCHES / 4)
  expect(begun).toBeLessThan(MAX_FETCHES * 3)
})

test('while the origin has room everybody gets its turn in the end', () => {
  const node = createNode({ peers: 100, random: () => 0.99 })
  node.noteSwarmSize(1000)
  node.isLate()
  let ticks = 0
  for (; !node.isOurs; ticks++) node.draw(() => true)
  expect(ticks).toBeLessThan(10)
})

test('who has nothing to fetch, or finds the origin busy, does not draw', () => {
  const idle = createNode({ peers: 100, random: () => 0 })
  idle.noteSwarmSize(1000)
  idle.isLate()
  idle.draw(() => false)
  expect(idle.isOurs).toBe(false)
  const late = createNode({ peers: 100, random: () => 0, fetching: MAX_FETCHES })
  late.noteSwarmSize(1000)
  late.isLate()
  late.draw(() => true)
  expect(late.isOurs).toBe(false)
})

test('after a fetch a node goes on, but makes way where there are too many', () => {
  const node = (fetching: number) => {
    const each = createNode({ peers: 100, fetching, random: () => 0.5 })
    each.noteSwarmSize(1000)
    each.noteEnd()
    return each
  }
  expect(node(MAX_FETCHES - 1).isOurs).toBe(true)
  expect(node(3 * MAX_FETCHES).isOurs).toBe(false)
})
