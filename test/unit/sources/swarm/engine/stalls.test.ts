import { expect, test } from 'vitest'
import { AgentError } from '../../../../../agent/core/errors.ts'
import { SwarmEngine } from '../../../../../agent/sources/swarm/engine/engine.ts'
import type { EngineNews } from '../../../../../agent/sources/swarm/engine/engine-options.ts'
import {
  CLAIM_KINDS,
  type ClaimKind,
} from '../../../../../agent/sources/swarm/engine/origin/claim.ts'
import type { Origin } from '../../../../../agent/sources/swarm/engine/origin/origin.ts'
import type {
  BlockCallback,
  PeerWire,
  WireListener,
} from '../../../../../agent/sources/swarm/engine/peer-wire.ts'
import { bitsOf } from '../../../../../agent/sources/swarm/torrent/piece-set.ts'

const PIECE = 32 * 1024
const TICK_MS = 250

type Answer = 'right' | 'refused' | 'none' | 'wrong, then none'

/** A peer of which the test says what it has and what it does with requests. */
class ScriptedPeer implements PeerWire {
  readonly peerId: string
  readonly address: string
  isSharingOrigin = false
  readonly maxRequests = 1
  isPeerChoking = false
  isPeerInterested = false
  isChoking = true
  /** What we said. */
  isInterested = false
  isClosed = false
  requests = 0
  answer: Answer
  readonly #has: readonly number[]
  readonly #defer: (work: () => void) => void
  readonly #held: BlockCallback[] = []
  #listener: WireListener | undefined

  constructor(
    name: string,
    has: readonly number[],
    answer: Answer,
    defer: (work: () => void) => void,
  ) {
    this.peerId = name.padEnd(40, '0')
    this.address = name
    this.#has = has
    this.answer = answer
    this.#defer = defer
  }

  listen(listener: WireListener): void {
    this.#listener = listener
    listener.onBitfield(bitsOf(1 + Math.max(0, ...this.#has), (piece) => this.#has.includes(piece)))
  }

  request(piece: number, _offset: number, length: number, callback: BlockCallback): void {
    const { answer } = this
    this.requests += 1
    const isWrong = answer === 'wrong, then none' && this.requests === 1
    if (answer === 'refused') this.#defer(() => callback(null))
    else if (answer === 'right' || isWrong) {
      const block = new Uint8Array(length).fill(isWrong ? piece + 1 : piece)
      this.#defer(() => callback(block))
    } else this.#held.push(callback)
  }

  setChoking(isChoking: boolean): void {
    this.isPeerChoking = isChoking
    for (const callback of this.#held.splice(0)) callback(null)
    if (isChoking) this.#listener?.onChoke()
    else this.#listener?.onUnchoke()
  }

  announce(piece: number): void {
    this.#listener?.onHave(piece)
  }

  tell(kind: ClaimKind, pieces: readonly number[]): void {
    this.#listener?.onClaim(kind, 1, pieces)
  }

  setInterested(isInterested: boolean): void {
    this.isInterested = isInterested
  }

  close(): void {
    this.isClosed = true
  }

  choke(): void {
    this.isChoking = true
  }

  unchoke(): void {
    this.isChoking = false
  }

  cancel(): void {}
  have(): void {}
  claim(_kind: ClaimKind, _hops: number, _pieces: readonly number[]): void {}
}

/** An engine whose clock only `run` moves. */
function engineOf(
  pieceCount: number,
  { maxInProgress = 2, origin }: { maxInProgress?: number; origin?: Origin } = {},
) {
  let now = 1000
  let seed = 1
  const due: (() => void)[] = []
  const news: EngineNews[] = []
  const defer = (work: () => void) => void due.push(work)
  const engine = new SwarmEngine({
    layout: { pieceCount, pieceLength: PIECE, lengthBytes: pieceCount * PIECE },
    selfId: 'f'.repeat(40),
    now: () => now,
    random: () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      return seed / 2 ** 32
    },
    defer,
    slots: {
      acquire: () => ({ index: 0, bytes: new Uint8Array(PIECE) }),
      release: () => undefined,
    },
    maxInProgress,
    origin,
    downloadLimit: 0,
    maxUploads: 50,
    verify: (piece, bytes, done) => done(bytes.every((byte) => byte === piece)),
    store: () => Promise.resolve(),
    onNews: (each) => news.push(each),
    onComplete: () => undefined,
  })

  /** So much virtual time, with all that follows from it. */
  async function run(ms: number): Promise<void> {
    for (const end = now + ms; now < end; now += TICK_MS) {
      engine.tick()
      for (let round = 0; round < 200; round++) {
        for (const work of due.splice(0)) work()
        await Promise.resolve()
      }
    }
  }

  return {
    engine,
    news,
    run,
    join: (name: string, has: readonly number[], answer: Answer = 'right') => {
      const peer = new ScriptedPeer(name, has, answer, defer)
      engine.addWire(peer)
      return peer
    },
  }
}

const piecesLeft = (engine: SwarmEngine, pieces: readonly number[]) =>
  pieces.filter((piece) => !engine.has(piece))
const upTo = (end: number) => Array.from({ length: end }, (_, piece) => piece)

test('a piece of another source that turns out wrong is asked of peers that had nothing for us', async () => {
  const { engine, run, join } = engineOf(4)
  for (const piece of upTo(4)) engine.markOnDisk(piece, false)
  const seed = join('seed', upTo(4))
  await run(1000)
  expect(seed.isInterested).toBe(false)
  for (const piece of [0, 1, 3]) engine.markOnDisk(piece, true)
  engine.markMissing(2)
  expect(seed.isInterested).toBe(true)
  await run(2000)
  expect(engine.isComplete).toBe(true)
})

test('a slow peer is kept once it owes us nothing: it may want what we have', async () => {
  const { engine, run, join } = engineOf(4)
  const slow = join('slow', upTo(4), 'none')
  await run(6000)
  join('quick', upTo(4))
  await run(2000)
  expect(engine.isComplete).toBe(true)
  await run(60_000)
  expect(slow.isClosed).toBe(false)
})

test('peers that choke us in the midst of rare pieces do not keep the others from theirs', async () => {
  const { engine, run, join } = engineOf(20)
  // pieces 0 and 1 are rare, so they are begun, and fill the memory
  const rare = [0, 1].map((piece) => join(`rare${piece}`, [piece], 'none'))
  await run(1000)
  for (const peer of rare) peer.setChoking(true)
  join('seed', upTo(20).slice(2))
  await run(20_000)
  expect(piecesLeft(engine, upTo(20))).toEqual([0, 1])
  for (const peer of rare) {
    peer.answer = 'right'
    peer.setChoking(false)
  }
  await run(5000)
  expect(engine.isComplete).toBe(true)
})

test('peers that refuse what they claim to have do not keep the others from theirs', async () => {
  const { engine, news, run, join } = engineOf(20)
  const liars = [0, 1].map((piece) => join(`liar${piece}`, [piece], 'refused'))
  await run(1000)
  join('seed', upTo(20).slice(2))
  await run(60_000)
  expect(piecesLeft(engine, upTo(20))).toEqual([0, 1])
  expect(liars.map((liar) => liar.isClosed)).toEqual([true, true])
  expect(news.map(({ kind }) => kind)).toEqual(['peer dropped', 'peer dropped'])
})

test('memory that nobody fills is free for the origin', async () => {
  let isAway = true
  const origin: Origin = {
    maxStrikes: 3,
    reportCorrupt: () => undefined,
    readRange: async ({ offset }, target) => {
      if (isAway) throw new AgentError('ImageDownloadError', 'away', { kind: 'transient' })
      target.fill(offset / PIECE)
    },
  }
  const { engine, run, join } = engineOf(20, { origin })
  const rare = [0, 1].map((piece) => join(`rare${piece}`, [piece], 'none'))
  await run(1000)
  isAway = false
  for (const peer of rare) peer.setChoking(true)
  await run(60_000)
  expect(piecesLeft(engine, upTo(20))).toEqual([])
})

test('a piece that one peer was to bring alone is open to all when that peer chokes us', async () => {
  const { engine, run, join } = engineOf(1)
  // each sends a wrong block of it, so one of them is to send all of it the next time
  const peers = ['first', 'second'].map((name) => join(name, [0], 'wrong, then none'))
  await run(TICK_MS)
  const chosen = peers.filter((peer) => peer.requests === 2)
  expect(chosen).toHaveLength(1)
  for (const peer of peers) peer.answer = chosen.includes(peer) ? 'none' : 'right'
  chosen[0]?.setChoking(true)
  await run(20_000)
  expect(engine.isComplete).toBe(true)
})

/** Fills each piece with its right bytes, and counts. */
function goodOrigin() {
  let reads = 0
  const origin: Origin = {
    maxStrikes: 3,
    reportCorrupt: () => undefined,
    readRange: async ({ offset }, target) => {
      reads += 1
      target.fill(offset / PIECE)
    },
  }
  return { origin, reads: () => reads }
}

test.each([
  ['claims', [CLAIM_KINDS.dropped, CLAIM_KINDS.begun], false],
  ['claims and a piece now and then', [CLAIM_KINDS.dropped, CLAIM_KINDS.begun], true],
  ['claims and successes', [CLAIM_KINDS.dropped, CLAIM_KINDS.begun, CLAIM_KINDS.landed], true],
])(
  'forged %s, renewed in time, do not keep a node from the origin',
  async (_name, kinds, hasGifts) => {
    const PIECES = 60
    const all = Array.from({ length: PIECES }, (_, piece) => piece)
    const { origin, reads } = goodOrigin()
    const { engine, join, run } = engineOf(PIECES, { origin })
    const liar = join('liar', [])
    for (let turn = 0; turn < 3; turn++) {
      for (const kind of kinds) liar.tell(kind, all)
      await run(6000)
      if (hasGifts) liar.announce(all.find((piece) => !engine.has(piece)) ?? 0)
      await run(1000)
    }
    expect(engine.isComplete).toBe(true)
    expect(reads()).toBeGreaterThan(PIECES / 2)
  },
)

test('others are told of a piece from the origin when its hash is right, not before', async () => {
  const told: [ClaimKind, number][] = []
  const origin: Origin = {
    maxStrikes: 3,
    reportCorrupt: () => undefined,
    readRange: async ({ offset }, target) => void target.fill(offset / PIECE + 1),
  }
  const { join, run } = engineOf(4, { origin })
  const peer = join('neighbour', [])
  peer.claim = (kind, _hops, pieces) => {
    for (const piece of pieces) told.push([kind, piece])
  }
  await run(20_000)
  expect(told.filter(([kind]) => kind === CLAIM_KINDS.begun).length).toBeGreaterThan(0)
  expect(told.filter(([kind]) => kind === CLAIM_KINDS.dropped).length).toBeGreaterThan(0)
  expect(told.filter(([kind]) => kind === CLAIM_KINDS.landed)).toEqual([])
})
