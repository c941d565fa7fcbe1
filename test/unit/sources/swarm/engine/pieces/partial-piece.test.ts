import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PartialPiece } from '../../../../../../agent/sources/swarm/engine/pieces/partial-piece.ts'
import { createSmartBan } from '../../../../../../agent/sources/swarm/engine/pieces/smart-ban.ts'
import { BLOCK_BYTES } from '../../../../../../agent/sources/swarm/torrent/piece-layout.ts'

const LENGTH = 3 * BLOCK_BYTES + 100
const partialOf = (piece = 0) =>
  new PartialPiece<string>(piece, LENGTH, { index: 0, bytes: new Uint8Array(LENGTH) }, 0)
const fill = (partial: PartialPiece<string>, senders: readonly string[], liar?: string) => {
  for (const [block, sender] of senders.entries()) {
    const bytes = new Uint8Array(partial.blockLength(block)).fill(sender === liar ? 0xff : block)
    partial.receive(block, bytes, sender, 1)
  }
  return partial
}

test('each block is handed out once, and again only after it was lost', () => {
  const partial = partialOf()
  const taken = [0, 1, 2, 3].map(() => partial.takeFree())
  expect(taken).toEqual([0, 1, 2, 3])
  expect(partial.blockLength(3)).toBe(100)
  for (const block of taken) partial.noteRequested(block, 0)
  expect(partial.takeFree()).toBe(-1)
  partial.noteLost(2)
  expect(partial.takeFree()).toBe(2)
  expect(partial.takeFree()).toBe(-1)
})

test('a block that was received or is asked for twice is no duplicate to be had', () => {
  const partial = partialOf()
  for (const block of [0, 1, 2, 3]) partial.noteRequested(block, block * 10)
  partial.receive(0, new Uint8Array(BLOCK_BYTES), 'a', 5)
  partial.noteRequested(1, 10)
  expect(partial.findDuplicate(1000, () => false)).toBe(2)
  expect(partial.findDuplicate(15, () => false)).toBe(-1)
  expect(partial.findDuplicate(1000, (block) => block === 2)).toBe(3)
})

test('a bad piece of one sender convicts it', () => {
  expect(createSmartBan<string>().convict(fill(partialOf(), ['a', 'a', 'a', 'a']))).toBe('a')
})

test('of several senders the liar is known when the right bytes are', () => {
  const smartBan = createSmartBan<string>()
  expect(smartBan.convict(fill(partialOf(5), ['a', 'b', 'c', 'a'], 'b'))).toBeUndefined()
  expect(smartBan.isContested(5)).toBe(true)
  expect([...smartBan.acquit(fill(partialOf(5), ['a', 'a', 'a', 'a']))]).toEqual(['b'])
  expect(smartBan.isContested(5)).toBe(false)
})

test('evidence is bounded', () => {
  const smartBan = createSmartBan<string>()
  for (let piece = 0; piece < 100; piece++)
    smartBan.convict(fill(partialOf(piece), ['a', 'b', 'a', 'b']))
  const kept = Array.from({ length: 100 }, (_, piece) => smartBan.isContested(piece)).filter(
    Boolean,
  )
  expect(kept.length).toBeLessThanOrEqual(32)
  expect(smartBan.isContested(99)).toBe(true)
})

/** A piece, and what its blocks must look like. */
class WatchedPiece {
  readonly partial = partialOf()
  /** Requests per block. */
  readonly #counts = [0, 0, 0, 0]
  readonly #received = new Set<number>()

  take(isAsked: boolean): void {
    const block = this.partial.takeFree()
    expect(block >= 0).toBe(this.#counts.some((_, each) => this.#isFree(each)))
    if (block < 0) return
    expect(this.#isFree(block)).toBe(true)
    if (isAsked) this.#request(block)
    else this.partial.putBack(block)
  }

  askAgain(block: number): void {
    if (this.#isOut(block)) this.#request(block)
  }

  lose(block: number): void {
    if (!this.#isOut(block)) return
    this.partial.noteLost(block)
    this.#counts[block] = (this.#counts[block] as number) - 1
  }

  receive(block: number): void {
    if (!this.#isOut(block)) return
    this.partial.receive(block, new Uint8Array(this.partial.blockLength(block)), 'a', 0)
    this.#received.add(block)
    this.#counts[block] = (this.#counts[block] as number) - 1
  }

  check(): void {
    let missingBytes = 0
    for (const [block, count] of this.#counts.entries()) {
      expect(this.partial.requestCount(block)).toBe(count)
      expect(this.partial.hasReceived(block)).toBe(this.#received.has(block))
      if (!this.#received.has(block)) missingBytes += this.partial.blockLength(block)
    }
    expect(this.partial.missingBytes).toBe(missingBytes)
  }

  #request(block: number): void {
    this.partial.noteRequested(block, 0)
    this.#counts[block] = (this.#counts[block] as number) + 1
  }

  #isFree(block: number): boolean {
    return this.#counts[block] === 0 && !this.#received.has(block)
  }

  #isOut(block: number): boolean {
    return this.#counts[block] !== 0 && !this.#received.has(block)
  }
}

/** Invariant 7 of STATE.md. */
test('whatever is asked, lost and received, each block is in one state, and a free one is found', () => {
  const steps = fc.array(fc.tuple(fc.nat(9), fc.nat(3)), { minLength: 20, maxLength: 60 })
  fc.assert(
    fc.property(steps, (list) => {
      const piece = new WatchedPiece()
      for (const [kind, block] of list) {
        if (kind < 4) piece.take(kind > 0)
        else if (kind === 4) piece.askAgain(block)
        else if (kind < 8) piece.lose(block)
        else piece.receive(block)
        piece.check()
      }
    }),
  )
})
