import { expect, test } from 'vitest'
import { OriginFetcher } from '../../../../../agent/sources/swarm/engine/origin-fetcher.ts'
import { OriginShares } from '../../../../../agent/sources/swarm/engine/origin-shares.ts'
import { PartialPiece } from '../../../../../agent/sources/swarm/engine/partial-piece.ts'
import type { Peer } from '../../../../../agent/sources/swarm/engine/peer.ts'

const PIECE_BYTES = 32 * 1024
const PIECES = 256
const id = (index: number) => `2d4953${String(index).padStart(34, '0')}`

/** A node and its origin; fetches end when the test says so. */
function createWorld(peerCount: number) {
  let at = 0
  const open = new Map<number, () => void>()
  const started = new Set<number>()
  const done = new Set<number>()
  const shares = new OriginShares(id(0), PIECES, PIECE_BYTES)
  for (let peer = 1; peer <= peerCount; peer++) shares.addPeer(id(peer))
  const fetcher = new OriginFetcher({
    origin: {
      maxStrikes: 3,
      reportCorrupt: () => undefined,
      readRange: ({ offset }) =>
        new Promise((resolve) => open.set(Math.floor(offset / PIECE_BYTES), resolve)),
    },
    geometry: { pieceCount: PIECES, pieceLength: PIECE_BYTES, lengthBytes: PIECES * PIECE_BYTES },
    shares,
    now: () => at,
    maxInProgress: 10,
    hasPeers: () => peerCount > 0,
    isOnlyAtOrigin: (piece) => !started.has(piece) && !done.has(piece),
    peersHave: () => false,
    pickRescue: () => -1,
    isStarving: () => false,
    open: (piece) => {
      started.add(piece)
      const slot = { index: 0, bytes: new Uint8Array(PIECE_BYTES) }
      return new PartialPiece<Peer>(piece, PIECE_BYTES, slot, at)
    },
    finish: ({ piece }) => done.add(piece),
    abandon: () => undefined,
    mayDownload: () => true,
    onTrouble: (reason) => expect.unreachable(reason),
  })
  /** The fetches under way end after this long. */
  const finishAll = async (ms: number) => {
    at += ms
    const ending = [...open.values()]
    open.clear()
    for (const end of ending) end()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const pass = (ms: number) => {
    at += ms
    fetcher.pump()
  }
  fetcher.pump()
  return { fetcher, shares, open, done, finishAll, pass }
}

test('the first piece is fetched by itself, then a node alone has several ranges in flight', async () => {
  const { open, finishAll } = createWorld(0)
  expect(open.size).toBe(1)
  await finishAll(500)
  expect(open.size).toBe(4)
})

test('in a swarm one range at a time where the origin takes its time, two where it is quick', async () => {
  const { open, finishAll } = createWorld(3)
  expect(open.size).toBe(1)
  await finishAll(500)
  expect(open.size).toBe(1)
  for (let fetches = 0; fetches < 20; fetches++) await finishAll(5)
  expect(open.size).toBe(2)
})

test('with its share done a node takes pieces off others, and leaves them those they come to next', async () => {
  const { open, done, shares, finishAll } = createWorld(3)
  for (;;) {
    const [piece] = open.keys()
    if (piece === undefined || !shares.owns(piece)) break
    await finishAll(500)
  }
  const [taken] = open.keys()
  expect(taken).toBeTypeOf('number')
  const theirs = new Set(shares.spares((piece) => !done.has(piece), 1))
  expect(theirs.has(taken as number)).toBe(true)
})

test('what owners should be fetching is left to them while somebody announces, not for ever', async () => {
  const { fetcher, open, done, shares, finishAll, pass } = createWorld(1)
  // one piece is left, and the other node owns it
  const left = Array.from({ length: PIECES }, (_, piece) => piece).find(
    (piece) => !shares.owns(piece),
  )
  for (let piece = 0; piece < PIECES; piece++) if (piece !== left) done.add(piece)
  await finishAll(100)
  for (let turn = 0; turn < 10; turn++) {
    fetcher.noteAnnouncement()
    pass(100)
  }
  expect(open.size).toBe(0)
  for (let turn = 0; turn < 20; turn++) pass(100)
  expect([...open.keys()]).toEqual([left])
})
