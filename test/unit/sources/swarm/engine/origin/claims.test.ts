import { expect, test } from 'vitest'
import {
  CLAIM_HOPS,
  CLAIM_KINDS,
  type ClaimKind,
} from '../../../../../../agent/sources/swarm/engine/origin/claim.ts'
import { Claims } from '../../../../../../agent/sources/swarm/engine/origin/claims.ts'
import { Peer } from '../../../../../../agent/sources/swarm/engine/peer.ts'
import type { PeerWire } from '../../../../../../agent/sources/swarm/engine/peer-wire.ts'

const PIECES = 64
const { begun, landed, dropped } = CLAIM_KINDS
const FOR_EVER_MS = 60_000

/** A node with some peers; what it tells them is collected. */
function createNode(peerCount: number, swarmSize = 1000) {
  let at = 0
  const closed = new Set<number>()
  const told: { kind: ClaimKind; hops: number; pieces: readonly number[] }[] = []
  const wire = {
    claim: (kind: ClaimKind, hops: number, pieces: readonly number[]) =>
      void told.push({ kind, hops, pieces }),
  } as unknown as PeerWire
  const peers = Array.from({ length: peerCount }, () => new Peer(wire, PIECES, () => false))
  const claims = new Claims({
    pieceCount: PIECES,
    peers: new Set(peers),
    now: () => at,
    random: () => 0,
    swarmSize: () => swarmSize,
    isOnlyAtOrigin: (piece) => !closed.has(piece),
  })
  return {
    claims,
    closed,
    told,
    teller: peers[0] as Peer,
    other: peers[1] as Peer,
    pass: (ms: number) => {
      at += ms
      claims.sweep()
    },
  }
}

test('what somebody else fetches is taken until it is announced, given up, or nothing comes of it', () => {
  const { claims, teller, pass } = createNode(2)
  claims.hear(teller, begun, 1, [1, 2, 3])
  expect([0, 1, 2, 3].map((piece) => claims.isTaken(piece))).toEqual([false, true, true, true])
  expect(claims.othersFetching).toBe(3)
  claims.noteAnnouncement(1)
  claims.hear(teller, dropped, 1, [2])
  expect([1, 2, 3].map((piece) => claims.isTaken(piece))).toEqual([false, false, true])
  pass(FOR_EVER_MS)
  expect(claims.isTaken(3)).toBe(false)
  expect(claims.othersFetching).toBe(0)
})

test('what has landed elsewhere is still taken, but nobody fetches it any more', () => {
  const { claims, teller } = createNode(2)
  claims.hear(teller, begun, 1, [1])
  claims.hear(teller, landed, 1, [1])
  expect(claims.isTaken(1)).toBe(true)
  expect(claims.othersFetching).toBe(0)
})

test('news is passed on once, one hop less, and a claim that has come far enough not at all', () => {
  const { claims, told, teller, other } = createNode(2)
  claims.hear(teller, begun, CLAIM_HOPS, [1])
  expect(told.length).toBeGreaterThan(0)
  for (const { hops } of told) expect(hops).toBe(CLAIM_HOPS - 1)
  told.length = 0
  claims.hear(other, begun, CLAIM_HOPS, [1])
  claims.hear(other, begun, 1, [2])
  expect(told).toEqual([])
})

test('where everybody knows everybody nothing is passed on', () => {
  const { claims, told, teller } = createNode(2, 3)
  claims.hear(teller, begun, CLAIM_HOPS, [1])
  expect(claims.isTaken(1)).toBe(true)
  expect(told).toEqual([])
})

test('our own claims go to all peers, and a newcomer is told of those that are open', () => {
  const { claims, told, teller } = createNode(3)
  claims.begin(5)
  expect(told).toEqual(Array(3).fill({ kind: begun, hops: CLAIM_HOPS, pieces: [5] }))
  expect(claims.isTaken(5)).toBe(false)
  told.length = 0
  claims.greet(teller)
  expect(told).toEqual([{ kind: begun, hops: 1, pieces: [5] }])
  claims.end(5, true)
  told.length = 0
  claims.greet(teller)
  expect(told).toEqual([])
})

test('a piece is left to claimers a few times only', () => {
  const { claims, teller, pass } = createNode(2)
  let waits = 0
  for (let turn = 0; turn < 20; turn++) {
    claims.hear(teller, begun, 1, [1])
    if (claims.isTaken(1)) waits += 1
    pass(FOR_EVER_MS)
  }
  expect(waits).toBe(3)
})

test('whose claims come to nothing is not believed, whose claims are kept is', () => {
  const { claims, teller, other, pass } = createNode(2)
  const pieces = Array.from({ length: 16 }, (_, piece) => piece)
  claims.hear(teller, begun, 1, pieces)
  pass(FOR_EVER_MS)
  claims.hear(teller, begun, 1, [20])
  expect(claims.isTaken(20)).toBe(false)
  claims.hear(other, begun, 1, pieces)
  for (const piece of pieces) claims.noteAnnouncement(piece)
  claims.hear(other, begun, 1, [20])
  expect(claims.isTaken(20)).toBe(true)
})

test('pieces that peers have, or that do not exist, cannot be claimed', () => {
  const { claims, closed, teller } = createNode(2)
  closed.add(1)
  claims.hear(teller, begun, 1, [1, PIECES, 4_000_000_000])
  expect(claims.othersFetching).toBe(0)
})

test('what a peer has told goes with it', () => {
  const { claims, teller, other } = createNode(2)
  claims.hear(teller, begun, 1, [4])
  claims.hear(other, begun, 1, [5])
  claims.forget(teller)
  expect(claims.isTaken(4)).toBe(false)
  expect(claims.isTaken(5)).toBe(true)
})

test('who tells late of a success does not make everybody wait longer', () => {
  const { claims, teller, pass } = createNode(2)
  const first = claims.patienceMs
  for (let piece = 0; piece < 30; piece++) {
    claims.hear(teller, begun, 1, [piece])
    pass(first - 1)
    claims.hear(teller, landed, 1, [piece])
    claims.noteAnnouncement(piece)
    expect(claims.patienceMs).toBeLessThanOrEqual(first)
  }
})

test('where our own fetches take long, claims hold longer; others may only shorten that', () => {
  const { claims, teller, pass } = createNode(2)
  claims.begin(1)
  pass(5000)
  claims.end(1, true)
  expect(claims.patienceMs).toBe(20_000)
  claims.hear(teller, begun, 1, [2])
  pass(1000)
  claims.hear(teller, landed, 1, [2])
  expect(claims.patienceMs).toBe(4000)
})

test('a fetch that came to nothing says nothing of how long one takes', () => {
  const { claims, pass } = createNode(2)
  const first = claims.patienceMs
  claims.begin(1)
  pass(100_000)
  claims.end(1, false)
  expect(claims.patienceMs).toBe(first)
})
