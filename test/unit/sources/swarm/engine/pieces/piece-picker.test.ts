import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Peer } from '../../../../../../agent/sources/swarm/engine/peer.ts'
import type { PeerWire } from '../../../../../../agent/sources/swarm/engine/peer-wire.ts'
import { PiecePicker } from '../../../../../../agent/sources/swarm/engine/pieces/piece-picker.ts'
import { PIECE_STATES } from '../../../../../../agent/sources/swarm/engine/pieces/piece-states.ts'
import { bitsOf } from '../../../../../../agent/sources/swarm/torrent/piece-set.ts'

const { missing, downloading, hashing, storing, have, unverified } = PIECE_STATES

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
  const has = peer.pieces.has.bind(peer.pieces)
  peer.pieces.has = (piece) => {
    looks += 1
    return has(piece)
  }
  picker.peers.add(peer)
  return { peer, looks: () => looks }
}

const PICKS = 1024

/** Looks per pick when one peer has everything and another announces piece after piece. */
function looksPerPick(pieceCount: number): number {
  const picker = new PiecePicker(pieceCount)
  const random = createRandom(1)
  const { peer: seed } = addPeer(picker)
  picker.replacePieces(
    seed,
    bitsOf(picker.pieceCount, () => true),
  )
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
  picker.replacePieces(
    seed,
    bitsOf(picker.pieceCount, () => true),
  )
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

const PIECES = 8
const ALL = Array.from({ length: PIECES }, (_, piece) => piece)
const STATES = Object.values(PIECE_STATES)
/** The table of STATE.md, and that what is said again changes nothing where a piece is at rest. */
const TRANSITIONS = [
  [missing, downloading],
  [downloading, hashing],
  [hashing, storing],
  [storing, have],
  [downloading, missing],
  [hashing, missing],
  [missing, have],
  [missing, unverified],
  [unverified, have],
  [unverified, missing],
  ...[missing, have, unverified].map((state) => [state, state]),
]

/** A picker, and what it must look like. */
class WatchedPicker {
  readonly #picker = new PiecePicker(PIECES)
  readonly #states = ALL.map<number>(() => missing)
  #peers: Peer[] = []

  move(piece: number, how: number): void {
    const next = STATES[how % STATES.length] as (typeof STATES)[number]
    const isAllowed = TRANSITIONS.some(([a, b]) => a === this.#states[piece] && b === next)
    const move = () => this.#picker.setState(piece, next)
    if (!isAllowed) expect(move).toThrow(/cannot go from state/)
    else {
      move()
      this.#states[piece] = next
    }
  }

  join(bits: number): void {
    const { peer } = addPeer(this.#picker)
    this.#peers.push(peer)
    this.#picker.replacePieces(
      peer,
      bitsOf(PIECES, (piece) => (bits >> piece) % 2 === 1),
    )
  }

  change(kind: number, piece: number, how: number): void {
    const picker = this.#picker
    const peer = this.#peers[how % Math.max(1, this.#peers.length)]
    if (peer === undefined) return
    if (kind === 5) picker.addPiece(peer, piece)
    else if (kind === 6)
      picker.replacePieces(
        peer,
        bitsOf(PIECES, (each) => (how >> each) % 2 === 1),
      )
    else if (kind < 9) picker.setCounted(peer, kind === 7)
    else {
      picker.removePeer(peer)
      this.#peers = this.#peers.filter((each) => each !== peer)
    }
  }

  check(): void {
    checkPicker(this.#picker, this.#states, this.#peers)
  }
}

/** Invariants 1, 2 and 3 of STATE.md. */
test('whatever pieces and peers do, states follow the table and every count is right', () => {
  const steps = fc.array(fc.tuple(fc.nat(9), fc.nat(PIECES - 1), fc.nat(255)), {
    minLength: 30,
    maxLength: 80,
  })
  fc.assert(
    fc.property(steps, (list) => {
      const picker = new WatchedPicker()
      for (const [kind, piece, how] of list) {
        if (kind < 4) picker.move(piece, how)
        else if (kind === 4) picker.join(how)
        else picker.change(kind, piece, how)
        picker.check()
      }
    }),
    { numRuns: 60 },
  )
})

function checkPicker(picker: PiecePicker, states: readonly number[], peers: readonly Peer[]): void {
  const toFetch: number[] = [missing, downloading, hashing, storing]
  expect(ALL.map((piece) => picker.state(piece))).toEqual(states)
  expect(picker.haveCount).toBe(states.filter((state) => state === have).length)
  expect(picker.rarity.size).toBe(states.filter((state) => state === missing).length)
  for (const piece of ALL) {
    const holders = peers.filter((peer) => peer.isCounted && peer.pieces.has(piece))
    expect(picker.rarity.availability(piece)).toBe(holders.length)
    expect(picker.rarity.includes(piece)).toBe(states[piece] === missing)
  }
  for (const peer of peers) {
    const its = ALL.filter((piece) => peer.pieces.has(piece)).map(
      (piece) => states[piece] as number,
    )
    expect(peer.startable).toBe(its.filter((state) => state === missing).length)
    expect(peer.wanted).toBe(its.filter((state) => toFetch.includes(state)).length)
    const pick = picker.pickFor(peer, () => 0)
    if (pick >= 0) expect([peer.pieces.has(pick), states[pick]]).toEqual([true, missing])
    if (peer.startable === 0) expect(pick).toBe(-1)
  }
}
