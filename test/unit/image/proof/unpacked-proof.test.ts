import { expect, test } from 'vitest'
import { MiB } from '../../../../agent/core/units.ts'
import { createUnpackedProof } from '../../../../agent/image/proof/unpacked-proof.ts'

const BLOCK_BYTES = 512
/** More than are remembered. */
const COUNT = 256 * 1024 + 5

test('what is read back early comes from the disk, and not what was written last', async () => {
  const did: string[] = []
  const note = (what: string) => {
    if (did.at(-1) !== what) did.push(what)
  }
  let largestReadEarly = 0
  let isEnding = false
  const store = new Uint8Array(COUNT)
  await using proof = createUnpackedProof({
    device: {
      geometry: { path: '/dev/x' } as never,
      read: async (offset, target) => {
        if (!isEnding) largestReadEarly = Math.max(largestReadEarly, offset)
        note('read')
        target.fill(store[offset / BLOCK_BYTES] as number)
      },
      sync: async () => note('sync'),
    },
    isTrailing: false,
    dropCache: async () => note('drop cache'),
    signal: new AbortController().signal,
  })
  const sink = proof.sinkTo({
    write: async ({ offset, data }) => {
      store[offset / BLOCK_BYTES] = data[0] as number
    },
  })
  const data = new Uint8Array(BLOCK_BYTES)
  for (let i = 0; i < COUNT; i++) {
    data.fill(i & 255)
    await sink.write({ offset: i * BLOCK_BYTES, data, from: 'file' } as never)
  }
  expect(did).toEqual(['sync', 'drop cache', 'read'])
  expect(largestReadEarly).toBeLessThanOrEqual(COUNT * BLOCK_BYTES - 64 * MiB)
  expect(proof.doneBytes).toBeGreaterThan(0)
  isEnding = true
  await proof.finish(() => undefined)
  expect(proof.doneBytes).toBe(COUNT * BLOCK_BYTES)
})
