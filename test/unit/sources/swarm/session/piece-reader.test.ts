import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createPieceReader } from '../../../../../agent/sources/swarm/session/piece-reader.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

/** A reader whose memory is all taken until it is not. */
function createWorld() {
  const orders: number[] = []
  let hasSlot = false
  const reader = createPieceReader({
    arena: {
      acquire: () => (hasSlot ? { index: 0, bytes: new Uint8Array(4) } : undefined),
      release: () => undefined,
      retain: () => undefined,
      find: () => undefined,
    },
    maxReads: 100,
    lengthOf: () => 4,
    verify: (_piece, _bytes, done) => done(true),
    order: (piece) => orders.push(piece),
  })
  return {
    reader,
    orders,
    giveSlots: () => {
      hasSlot = true
    },
  }
}

test('however many pieces wait for memory, it is looked for by one timer', () => {
  const { reader, orders, giveSlots } = createWorld()
  for (let piece = 0; piece < 50; piece++) reader.use(piece, () => undefined)
  expect(vi.getTimerCount()).toBe(1)
  vi.advanceTimersByTime(1000)
  expect(vi.getTimerCount()).toBe(1)
  giveSlots()
  vi.advanceTimersByTime(100)
  expect(orders.length).toBe(50)
  expect(vi.getTimerCount()).toBe(0)
})

test('after the end nothing is looked for', () => {
  const { reader } = createWorld()
  reader.use(1, () => undefined)
  reader.close()
  expect(vi.getTimerCount()).toBe(0)
})
