import { expect, test } from 'vitest'
import { CLAIM_KINDS } from '../../../../../../agent/sources/swarm/engine/origin/claim.ts'
import { Claims } from '../../../../../../agent/sources/swarm/engine/origin/claims.ts'
import { OriginFetcher } from '../../../../../../agent/sources/swarm/engine/origin/origin-fetcher.ts'
import { OriginShares } from '../../../../../../agent/sources/swarm/engine/origin/origin-shares.ts'
import { MAX_FETCHES, Turns } from '../../../../../../agent/sources/swarm/engine/origin/turns.ts'
import { Peer } from '../../../../../../agent/sources/swarm/engine/peer.ts'
import type { PeerWire } from '../../../../../../agent/sources/swarm/engine/peer-wire.ts'
import { PartialPiece } from '../../../../../../agent/sources/swarm/engine/pieces/partial-piece.ts'

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
  const isOnlyAtOrigin = (piece: number) => !started.has(piece) && !done.has(piece)
  const teller = new Peer({ claim: () => undefined } as unknown as PeerWire, PIECES, () => false)
  const turns: Turns = new Turns({
    random: () => 0.5,
    peerCount: () => peerCount,
    othersFetching: () => claims.othersFetching,
  })
  const claims = new Claims({
    pieceCount: PIECES,
    peers: new Set([teller]),
    now: () => at,
    random: () => 0.5,
    swarmSize: () => turns.swarmSize,
    isOnlyAtOrigin,
  })
  const fetcher = new OriginFetcher({
    claims,
    turns,
    origin: {
      maxStrikes: 3,
      reportCorrupt: () => undefined,
      readRange: ({ offset }, _target, signal) =>
        new Promise((resolve, reject) => {
          const piece = Math.floor(offset / PIECE_BYTES)
          open.set(piece, resolve)
          signal.addEventListener('abort', () => {
            open.delete(piece)
            started.delete(piece)
            reject(signal.reason)
          })
        }),
    },
    layout: { pieceCount: PIECES, pieceLength: PIECE_BYTES, lengthBytes: PIECES * PIECE_BYTES },
    shares,
    now: () => at,
    maxInProgress: 10,
    hasPeers: () => peerCount > 0,
    isOnlyAtOrigin,
    peersHave: () => false,
    pickRescue: () => -1,
    isStarving: () => false,
    open: (piece) => {
      started.add(piece)
      const slot = { index: 0, bytes: new Uint8Array(PIECE_BYTES) }
      return new PartialPiece<Peer>(piece, PIECE_BYTES, slot, at)
    },
    finish: ({ piece }, onVerdict) => {
      done.add(piece)
      onVerdict(true)
    },
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
  /** Somebody tells that these are being fetched. */
  const tell = (pieces: readonly number[]) => claims.hear(teller, CLAIM_KINDS.begun, 1, pieces)
  const drop = (pieces: readonly number[]) => claims.hear(teller, CLAIM_KINDS.dropped, 1, pieces)
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  /** Whoever finds room at the origin tries it within a few ticks. */
  const tick = (count: number) => {
    for (let turn = 0; turn < count; turn++) {
      at += 250
      claims.sweep()
      fetcher.tick()
    }
  }
  return { fetcher, turns, shares, open, done, finishAll, pass, tell, drop, settle, tick }
}

/** A node that turns out to be one of a thousand. */
async function createLateNode() {
  const node = createWorld(100)
  node.turns.noteSwarmSize(1000)
  node.fetcher.noteSwarmSize()
  await node.settle()
  return node
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

test('with its share done a node takes what nobody has claimed, one at a time', async () => {
  const { open, shares, finishAll, tell } = createWorld(3)
  for (;;) {
    const [piece] = open.keys()
    if (piece === undefined || !shares.owns(piece)) break
    const theirs = Array.from({ length: PIECES }, (_, each) => each).filter((each) => {
      return !shares.owns(each) && each % 2 === 0
    })
    for (let at = 0; at < theirs.length; at += 64) tell(theirs.slice(at, at + 64))
    await finishAll(5)
  }
  expect(open.size).toBe(1)
  for (const piece of open.keys()) expect(piece % 2).toBe(1)
})

test('what somebody has claimed is left to them for a while, not for ever', async () => {
  const { open, done, shares, finishAll, pass, tell, tick } = createWorld(1)
  // one piece is left, and the other node owns it
  const left = Array.from({ length: PIECES }, (_, piece) => piece).find(
    (piece) => !shares.owns(piece),
  ) as number
  for (let piece = 0; piece < PIECES; piece++) if (piece !== left) done.add(piece)
  tell([left])
  await finishAll(100)
  for (let turn = 0; turn < 10; turn++) pass(100)
  expect(open.size).toBe(0)
  tick(40)
  expect([...open.keys()]).toEqual([left])
})

test('a piece that its claimer dropped is fetched by its owner after all', async () => {
  const { open, done, shares, finishAll, pass, tell, drop } = createWorld(1)
  const own = Array.from({ length: PIECES }, (_, piece) => piece).filter((piece) => {
    return shares.owns(piece) && !open.has(piece)
  })
  const left = own[0] as number
  for (let piece = 0; piece < PIECES; piece++) if (piece !== left) done.add(piece)
  tell([left])
  await finishAll(10)
  expect(open.size).toBe(0)
  drop([left])
  pass(100)
  expect([...open.keys()]).toEqual([left])
})

test('who comes late to a large swarm stops, and fetches when the origin has room', async () => {
  const { open, tell, tick } = await createLateNode()
  expect(open.size).toBe(0)
  tell(Array.from({ length: MAX_FETCHES }, (_, piece) => piece))
  tick(4)
  expect(open.size).toBe(0)
  tick(40) // nothing comes of those claims
  expect(open.size).toBe(1)
})

test('a tracker that counts the first few nodes stops none of them', async () => {
  const { fetcher, turns, open, settle } = createWorld(100)
  turns.noteSwarmSize(20)
  fetcher.noteSwarmSize()
  await settle()
  expect(open.size).toBe(1)
})

test('in a large swarm what others have claimed is not fetched', async () => {
  const { open, tell, tick, finishAll } = await createLateNode()
  const free = [7, 8]
  const claimed = Array.from({ length: PIECES }, (_, piece) => piece).filter(
    (piece) => !free.includes(piece),
  )
  // while only few are under way, or it would not be our turn
  tick(8)
  const [first] = open.keys()
  for (let at = 0; at < claimed.length; at += 64) tell(claimed.slice(at, at + 64))
  await finishAll(10)
  for (const piece of open.keys()) expect(free).toContain(piece)
  expect(first).toBeTypeOf('number')
})
