import { expect, test } from 'vitest'
import { createChoker } from '../../../../../agent/sources/swarm/engine/choker.ts'
import { Peer } from '../../../../../agent/sources/swarm/engine/peer.ts'
import type { PeerWire } from '../../../../../agent/sources/swarm/engine/peer-wire.ts'
import { createDownloadRate } from '../../../../../agent/sources/swarm/engine/requests/download-rate.ts'
import { createTokenBucket } from '../../../../../agent/sources/swarm/engine/token-bucket.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'

const clock = () => {
  let at = 0
  return { now: () => at, pass: (ms: number) => (at += ms) }
}

const wireOf = (isPeerInterested: boolean) => {
  const wire = {
    isChoking: true,
    isPeerInterested,
    choke: () => {
      wire.isChoking = true
    },
    unchoke: () => {
      wire.isChoking = false
    },
  }
  return wire as unknown as PeerWire
}
const unchoked = (wires: readonly PeerWire[]) => wires.filter((wire) => !wire.isChoking)

test('the choker serves everybody who is interested while slots last', () => {
  const wires = [wireOf(true), wireOf(false), wireOf(true)]
  createChoker(2, Math.random).fill(wires)
  expect(wires.map((wire) => wire.isChoking)).toEqual([false, true, false])
})

test('with too few slots they go round, never beyond their number', () => {
  const choker = createChoker(3, Math.random)
  const wires = Array.from({ length: 10 }, () => wireOf(true))
  const served = new Set<PeerWire>()
  choker.fill(wires)
  for (let round = 0; round < 100; round++) {
    expect(unchoked(wires).length).toBe(3)
    for (const wire of unchoked(wires)) served.add(wire)
    choker.rotate(wires)
  }
  expect(served.size).toBe(10)
})

test('a token bucket lets its rate through, whatever the size of the portions', () => {
  const { now, pass } = clock()
  const bucket = createTokenBucket(1_000_000, now)
  let passed = 0
  for (let tick = 0; tick < 1000; tick++) {
    while (bucket.take(16_384)) passed += 16_384
    pass(10)
  }
  // ten seconds, a quarter of a second of burst, one portion of overdraft
  expect(passed).toBeGreaterThan(9_900_000)
  expect(passed).toBeLessThan(10_300_000)
})

test('a portion above the burst passes, and is paid back', () => {
  const { now, pass } = clock()
  const bucket = createTokenBucket(100_000, now)
  expect(bucket.take(4_000_000)).toBe(true)
  pass(30_000)
  expect(bucket.take(1)).toBe(false)
  pass(15_000)
  expect(bucket.take(1)).toBe(true)
})

test('without a limit everything passes', () => {
  const bucket = createTokenBucket(0, () => 0)
  for (let i = 0; i < 1000; i++) expect(bucket.take(1e9)).toBe(true)
})

test('a node starves when nothing comes in, or peers bring far less than before or than the origin could', () => {
  const { now, pass } = clock()
  const rate = createDownloadRate(now)
  const run = (ms: number, bytesPerTick: number) => {
    for (let at = 0; at < ms; at += 100) {
      rate.note(bytesPerTick)
      pass(100)
    }
  }
  run(3000, 1000)
  expect(rate.isStarving(0)).toBe(false)
  expect(rate.isStarving(100_000)).toBe(false)
  expect(rate.isStarving(1_000_000)).toBe(true)
  run(3000, 100)
  expect(rate.isStarving(0)).toBe(true)
  run(3000, 1000)
  expect(rate.isStarving(0)).toBe(false)
  pass(1600)
  expect(rate.isStarving(0)).toBe(true)
})

test.each([5, 50, 300])(
  'a peer that answers after %s ms is asked for more until its cable is full',
  (answerMs) => {
    const wire = { maxRequests: 500 } as unknown as PeerWire
    const peer = new Peer(wire, 1, () => false)
    const blockBytes = BLOCK_BYTES
    const cable = 8 * 1024 * 1024
    let now = 0
    // per tick: what the pipeline brings, or what the cable carries
    for (let tick = 0; tick < 80; tick++) {
      const perSecond = Math.min(cable, (peer.pipelineDepth * blockBytes * 1000) / answerMs)
      now += 250
      peer.noteBlock(perSecond / 4, now, answerMs)
      peer.updateRate(250)
    }
    expect(peer.rate).toBeGreaterThan(0.9 * cable)
    // and not for much more than that takes
    expect((peer.pipelineDepth * blockBytes) / cable).toBeLessThan(Math.max(0.2, 0.002 * answerMs))
  },
)
