// The invariants of agent/sources/swarm/engine/STATE.md, by their numbers, under random events.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import { RandomWorld } from './random-world.ts'

const LAYOUT = {
  pieceCount: 6,
  pieceLength: 2 * BLOCK_BYTES,
  lengthBytes: 11 * BLOCK_BYTES - 100,
}
const EVENTS = 100

const settings = fc.record({
  seed: fc.integer(),
  hasOrigin: fc.boolean(),
  maxInProgress: fc.integer({ min: 1, max: 4 }),
  /** Pieces that another source says are on the disk. */
  unverified: fc.uniqueArray(fc.nat(LAYOUT.pieceCount - 1)),
  storesFail: fc.boolean(),
})
const events = fc.array(fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99)), {
  minLength: EVENTS / 2,
  maxLength: EVENTS,
  size: 'max',
})

test('whatever happens, a piece is in one state, a block is owed once, and all ends well', async () => {
  await fc.assert(
    fc.asyncProperty(settings, events, async (setting, list) => {
      const world = new RandomWorld(LAYOUT, setting)
      for (const event of list) {
        world.apply(event)
        await world.settle()
        world.check()
      }
      if (world.hasStoreFailed) return
      await world.finish()
      expect(world.engine.isComplete).toBe(true)
      expect(world.slotsInUse).toBe(0)
    }),
    { numRuns: 200 },
  )
})
