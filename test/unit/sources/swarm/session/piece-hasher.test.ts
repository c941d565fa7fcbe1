import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  createPieceHasher,
  type PieceHasher,
} from '../../../../../agent/sources/swarm/session/piece-hasher.ts'
import { allocateArena } from '../../../../../agent/sources/swarm/thread/arena.ts'

const PIECE_BYTES = 256 * 1024
const PIECES = 4
const shape = { slotBytes: PIECE_BYTES, slotCount: PIECES, maxInProgress: 2 }

/** Pieces 0–2 lie in the memory as they should; piece 3 has another hash. */
function createWorld() {
  const memory = allocateArena(shape)
  const slots = Array.from({ length: PIECES }, (_, piece) => {
    const bytes = new Uint8Array(memory, piece * PIECE_BYTES, PIECE_BYTES)
    bytes.set(randomBytes(PIECE_BYTES))
    return bytes
  })
  const hashes = Buffer.concat(slots.map((bytes) => createHash('sha1').update(bytes).digest()))
  hashes[3 * 20] = (hashes[3 * 20] as number) ^ 1
  let clock = 0
  const failures: Error[] = []
  const hasher = createPieceHasher({
    hashes,
    memory,
    // each look finds it a millisecond further on: the pieces come fast
    now: () => clock++,
    onFailure: (error) => failures.push(error),
  })
  return { hasher, slots, failures }
}

/** Whether the answer came at once, and what it was. */
async function verify(hasher: PieceHasher, piece: number, bytes: Uint8Array) {
  let isAtOnce = true
  const isRight = new Promise<boolean>((resolve) => {
    hasher.verify(piece, bytes, (right) => {
      resolve(right)
    })
  })
  const settled = isRight.then((right) => ({ right, isAtOnce }))
  await Promise.resolve()
  await Promise.resolve()
  isAtOnce = false
  return await settled
}

test('verdicts are the same here and in the thread, and come in order', async () => {
  const { hasher, slots, failures } = createWorld()
  const expected = [true, true, true, false]
  let inThread = 0
  while (inThread < 3) {
    const order: number[] = []
    const verdicts = await Promise.all(
      slots.map(async (bytes, piece) => {
        const verdict = await verify(hasher, piece, bytes)
        order.push(piece)
        return verdict
      }),
    )
    expect(verdicts.map(({ right }) => right)).toEqual(expected)
    expect(order).toEqual([0, 1, 2, 3])
    inThread += Number(verdicts.every(({ isAtOnce }) => !isAtOnce))
    // the thread says that it is up in a turn of its own
    await new Promise(setImmediate)
  }
  hasher.close()
  expect(failures).toEqual([])
})

test('memory of others is hashed here', async () => {
  const { hasher, slots } = createWorld()
  const copy = Uint8Array.from(slots[1] as Uint8Array)
  for (let round = 0; round < 5; round++) {
    expect(await verify(hasher, 1, copy)).toEqual({ right: true, isAtOnce: true })
  }
  hasher.close()
})

test('after its end nothing is answered', async () => {
  const { hasher, slots } = createWorld()
  hasher.close()
  let answers = 0
  hasher.verify(0, slots[0] as Uint8Array, () => answers++)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(answers).toBe(0)
})
