// SPDX-License-Identifier: Apache-2.0
// Owns virtual time: work in the order of its moments, as fast as the machine can. Knows no network.

/**
 * Moments are rounded up to a grain, and all work of a grain is done in the order it was asked for: a
 * million messages need no million-entry heap. Links keep exact times of their own.
 */
export class VirtualTime {
  readonly #grainMs: number
  readonly #work = new Map<number, (() => void)[]>()
  /** Grains that have work, as a binary heap. */
  readonly #heap: number[] = []
  #grain = 0
  #hasPromises = false
  steps = 0

  constructor(grainMs: number) {
    this.#grainMs = grainMs
  }

  get now(): number {
    return this.#grain * this.#grainMs
  }

  /** Runs `work` at `moment`, ms, or now if that is past. */
  at(moment: number, work: () => void): void {
    const grain = Math.max(this.#grain, Math.ceil(moment / this.#grainMs))
    const others = this.#work.get(grain)
    if (others) {
      others.push(work)
    } else {
      this.#work.set(grain, [work])
      push(this.#heap, grain)
    }
  }

  after(ms: number, work: () => void): void {
    this.at(this.now + ms, work)
  }

  /** Resolves after so much virtual time. */
  pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, () => {
        this.notePromise()
        resolve()
      })
    })
  }

  /** Somebody awaits what was just settled: let it go on before the next grain. */
  notePromise(): void {
    this.#hasPromises = true
  }

  /** Until `isOver`, or `limitMs`, or nothing is left to do. */
  async run(isOver: () => boolean, limitMs: number): Promise<void> {
    while (!isOver() && this.now < limitMs) {
      const grain = pop(this.#heap)
      if (grain === undefined) return
      this.#grain = grain
      const work = this.#work.get(grain) ?? []
      // work may add work to this very grain
      for (let i = 0; i < work.length; i++) (work[i] as () => void)()
      this.steps += work.length
      this.#work.delete(grain)
      if (!this.#hasPromises) continue
      this.#hasPromises = false
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if ((heap[parent] as number) <= value) break
    heap[at] = heap[parent] as number
    at = parent
  }
  heap[at] = value
}

function pop(heap: number[]): number | undefined {
  const least = heap[0]
  const value = heap.pop()
  if (least === undefined || value === undefined || heap.length === 0) return least
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    const right = heap[child + 1]
    if (right !== undefined && right < (heap[child] as number)) child += 1
    if ((heap[child] as number) >= value) break
    heap[at] = heap[child] as number
    at = child
  }
  heap[at] = value
  return least
}

/** Reproducible numbers in [0, 1): mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
