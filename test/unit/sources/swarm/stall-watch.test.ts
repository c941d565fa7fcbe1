import { expect, test } from 'vitest'
import { createStallWatch } from '../../../../agent/sources/swarm/stall-watch.ts'

const STALL_MS = 30_000
const LOOK_MS = 250
const KiB = 1024

interface Delivery {
  /** A piece of so many bytes comes this often. */
  readonly everyMs: number
  readonly bytes: number
  readonly stalls?: number
  readonly downloadLimit?: number
  readonly stallTimeoutMs?: number
}

/** When it is given up, ms; undefined if it is not within ten minutes. */
function givenUpAt({ everyMs, bytes, stalls = 1, ...limits }: Delivery): number | undefined {
  const watch = createStallWatch({ stallTimeoutMs: STALL_MS, downloadLimit: 0, ...limits }, 0)
  for (let at = LOOK_MS; at <= 600_000; at += LOOK_MS) {
    if (at % everyMs === 0) watch.notePiece(at, bytes)
    if (watch.look(at, stalls) !== undefined) return at
  }
  return undefined
}

test('a piece now and then is no progress: the rate decides', () => {
  for (const bytes of [16 * KiB, 64 * KiB, 256 * KiB]) {
    const at = givenUpAt({ everyMs: 29_000, bytes })
    expect(at).toBeGreaterThan(STALL_MS)
    expect(at).toBeLessThan(5 * STALL_MS)
  }
})

test.each([
  ['large pieces on a slow cable', { everyMs: 25_000, bytes: 4 * KiB * KiB }],
  ['small pieces on a slow cable', { everyMs: 500, bytes: 16 * KiB }],
  ['what we allow ourselves', { everyMs: 2000, bytes: 16 * KiB, downloadLimit: 8 * KiB }],
  ['a crawl where nobody gives up', { everyMs: 29_000, bytes: 1, stallTimeoutMs: 0 }],
  ['a crawl where a lost origin is waited out', { everyMs: 29_000, bytes: 1, stalls: 10 }],
])('%s is no stall', (_name, delivery) => {
  expect(givenUpAt(delivery)).toBeUndefined()
})

test('nothing at all is a stall after its time, and ten times later where a lost origin is waited out', () => {
  const nothing = { everyMs: Number.POSITIVE_INFINITY, bytes: 0 }
  expect(givenUpAt(nothing)).toBe(STALL_MS + LOOK_MS)
  expect(givenUpAt({ ...nothing, stalls: 10 })).toBe(10 * STALL_MS + LOOK_MS)
})

test('while this node is busy itself nobody can expect a piece', () => {
  const watch = createStallWatch({ stallTimeoutMs: STALL_MS, downloadLimit: 0 }, 0)
  watch.excuse(20_250, 250)
  expect(watch.look(40_000, 1)).toBeUndefined()
  expect(watch.look(50_001, 1)).toEqual({ ms: 30_001, bytes: 0 })
})

test('little in a time in which this node was busy itself is no crawl', () => {
  const watch = createStallWatch({ stallTimeoutMs: STALL_MS, downloadLimit: 0 }, 0)
  for (let at = LOOK_MS; at <= 100_000; at += LOOK_MS) {
    watch.excuse(at, LOOK_MS)
    watch.notePiece(at, 1)
    expect(watch.look(at, 1)).toBeUndefined()
  }
})
