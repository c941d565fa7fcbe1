import { expect, test } from 'vitest'
import { Peer } from '../../../../../../agent/sources/swarm/engine/peer.ts'
import type { PeerWire } from '../../../../../../agent/sources/swarm/engine/peer-wire.ts'
import { PiecePicker } from '../../../../../../agent/sources/swarm/engine/pieces/piece-picker.ts'
import { PIECE_STATES } from '../../../../../../agent/sources/swarm/engine/pieces/piece-states.ts'

const { missing, downloading, hashing, storing, have } = PIECE_STATES

/** Reproducible numbers in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** A peer of a picker, and how often somebody looked whether it has a piece. */
function addPeer(picker: PiecePicker): { peer: Peer; looks: () => number } {
  let looks = 0
  const peer = new Peer({} as PeerWire, picker.pieceCount, () => false)
  const counted = new Proxy(peer.has, {
    get: (bytes, key) => {
      looks += 1
      return Reflect.get(bytes, key)
    },
  })
  Object.defineProperty(peer, 'has', { value: counted })
  picker.peers.add(peer)
  return { peer, looks: () => looks }
}

const PICKS = 1024

/** Looks per pick when one peer has everything and another announces piece after piece. */
function looksPerPick(pieceCount: number): number {
  const picker = new PiecePicker(pieceCount)
  const random = createRandom(1)
  const { peer: seed } = addPeer(picker)
  picker.replacePieces(seed, () => true)
  const { peer, looks } = addPeer(picker)
  const order = Array.from({ length: pieceCount }, (_, piece) => piece)
  for (let i = pieceCount - 1; i > 0; i--) {
    const k = Math.floor(random() * (i + 1))
    ;[order[i], order[k]] = [order[k] as number, order[i] as number]
  }
  let picks = 0
  for (const piece of order.slice(0, PICKS)) {
    picker.addPiece(peer, piece)
    const found = picker.pickFor(peer, random)
    if (peer.startable === 0) continue
    expect(picker.state(found)).toBe(missing)
    for (const state of [downloading, hashing, storing]) picker.setState(found, state)
    picker.setState(found, have)
    picks += 1
  }
  expect(picks).toBe(PICKS)
  return looks() / picks
}

test('what a pick costs does not grow with the number of pieces: 64 Ki like 2 Ki', () => {
  // a search through all would look thousands of times
  expect(looksPerPick(2 * PICKS)).toBeLessThan(400)
  expect(looksPerPick(64 * 1024)).toBeLessThan(400)
})

test('a piece the peer has is found however rare others are, and again after it was given up', () => {
  const picker = new PiecePicker(10_000)
  const random = createRandom(2)
  const { peer: seed } = addPeer(picker)
  picker.replacePieces(seed, () => true)
  const { peer } = addPeer(picker)
  for (const piece of [17, 4711, 9999]) picker.addPiece(peer, piece)
  const taken = new Set<number>()
  for (let turn = 0; turn < 3; turn++) {
    const piece = picker.pickFor(peer, random)
    taken.add(piece)
    picker.setState(piece, downloading)
  }
  expect([...taken].sort((a, b) => a - b)).toEqual([17, 4711, 9999])
  expect(picker.pickFor(peer, random)).toBe(-1)
  picker.setState(4711, missing)
  expect(picker.pickFor(peer, random)).toBe(4711)
  picker.removePiece(peer, 4711)
  expect(picker.pickFor(peer, random)).toBe(-1)
  picker.addPiece(peer, 5)
  expect(picker.pickFor(peer, random)).toBe(5)
})
