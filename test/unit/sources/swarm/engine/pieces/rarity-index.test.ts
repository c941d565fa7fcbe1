import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RarityIndex } from '../../../../../../agent/sources/swarm/engine/pieces/rarity-index.ts'

const COUNT = 12
const KINDS = ['add', 'remove', 'increment', 'decrement'] as const

/** What the index is meant to be, kept by counting. */
class Model {
  readonly included = new Set<number>()
  readonly available = new Array<number>(COUNT).fill(0)

  apply(kind: (typeof KINDS)[number], piece: number): boolean {
    const count = this.available[piece] as number
    if (kind === 'decrement' && count === 0) return false
    if (kind === 'add') this.included.add(piece)
    if (kind === 'remove') this.included.delete(piece)
    if (kind === 'increment') this.available[piece] = count + 1
    if (kind === 'decrement') this.available[piece] = count - 1
    return true
  }

  /** Included pieces that peers have and `has` lets through, the rarest ones. */
  rarest(has: (piece: number) => boolean): number[] {
    const reachable = [...this.included].filter(
      (piece) => (this.available[piece] as number) > 0 && has(piece),
    )
    const least = Math.min(...reachable.map((piece) => this.available[piece] as number))
    return reachable.filter((piece) => this.available[piece] === least)
  }
}

test('it agrees with a plain count after any sequence of changes', () => {
  const step = fc.record({ kind: fc.constantFrom(...KINDS), piece: fc.nat(COUNT - 1) })
  const draw = fc.double({ min: 0, max: 0.999, noNaN: true })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), draw, (steps, drawn) => {
      const index = new RarityIndex(COUNT)
      const model = new Model()
      for (const { kind, piece } of steps) if (model.apply(kind, piece)) index[kind](piece)
      expect(index.size).toBe(model.included.size)
      for (let piece = 0; piece < COUNT; piece++) {
        expect(index.includes(piece)).toBe(model.included.has(piece))
        expect(index.availability(piece)).toBe(model.available[piece])
      }
      for (const has of [() => true, (piece: number) => piece % 2 === 0]) {
        const allowed = model.rarest(has)
        const picked = index.pickRarest(has, () => drawn)
        expect(allowed.length === 0 ? [-1] : allowed).toContain(picked)
      }
    }),
    { numRuns: 500 },
  )
})

test('among equals it picks at random', () => {
  const index = new RarityIndex(4)
  for (const piece of [0, 1, 2, 3]) {
    index.add(piece)
    index.increment(piece)
  }
  const everybody = () => true
  const picked = [0, 0.3, 0.6, 0.9].map((drawn) => index.pickRarest(everybody, () => drawn))
  expect(new Set(picked).size).toBe(4)
})
