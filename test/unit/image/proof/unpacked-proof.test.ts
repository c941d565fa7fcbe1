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
    zeroesVerify: 'full',
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

/** What is read of 40 MiB of zeros from byte 4096 on, when one of them is none. */
async function readOfZeros(zeroesVerify: 'full' | 'sample', isByDevice: boolean, wrongAt?: number) {
  const read: { offset: number; length: number }[] = []
  await using proof = createUnpackedProof({
    device: {
      geometry: { path: '/dev/x' } as never,
      read: async (offset, target) => {
        read.push({ offset, length: target.length })
        target.fill(0)
        if (wrongAt === undefined || wrongAt < offset || wrongAt >= offset + target.length) return
        target[wrongAt - offset] = 1
      },
      sync: async () => undefined,
    },
    isTrailing: false,
    zeroesVerify,
    dropCache: async () => undefined,
    signal: new AbortController().signal,
  })
  await proof.zeroed({ offset: 4096, length: 40 * MiB, isByDevice })
  await proof.finish(() => undefined)
  return { read, bytes: read.reduce((sum, { length }) => sum + length, 0), total: proof.totalBytes }
}

test('of zeros that the disk made the ends of each 16 MiB are read where samples are asked for', async () => {
  const { read, bytes, total } = await readOfZeros('sample', true)
  expect(bytes).toBe(6 * 64 * 1024)
  expect(total).toBe(bytes)
  expect(read.map(({ offset }) => offset - 4096)).toEqual([
    0,
    16 * MiB - 65_536,
    16 * MiB,
    32 * MiB - 65_536,
    32 * MiB,
    40 * MiB - 65_536,
  ])
  const wrong = readOfZeros('sample', true, 4096 + 16 * MiB)
  await expect(wrong).rejects.toMatchObject({ type: 'ReadBackMismatchError' })
})

test.each([
  ['the agent wrote them', 'sample', false],
  ['nothing else was asked for', 'full', true],
] as const)('all of the zeros are read where %s', async (_why, zeroesVerify, isByDevice) => {
  expect((await readOfZeros(zeroesVerify, isByDevice)).bytes).toBe(40 * MiB)
  const wrong = readOfZeros(zeroesVerify, isByDevice, 4096 + 20 * MiB)
  await expect(wrong).rejects.toMatchObject({ type: 'ReadBackMismatchError' })
})

/** Writes two extents that take several reads each and one that takes a part of one; reads them back with a wrong byte. */
async function extentsReadBack(wrongAt?: number): Promise<number> {
  const store = new Uint8Array(12 * MiB)
  await using proof = createUnpackedProof({
    device: {
      geometry: { path: '/dev/x' } as never,
      read: async (offset, target) => target.set(store.subarray(offset, offset + target.length)),
      sync: async () => undefined,
    },
    isTrailing: false,
    zeroesVerify: 'full',
    dropCache: async () => undefined,
    signal: new AbortController().signal,
  })
  const sink = proof.sinkTo({ write: async ({ offset, data }) => store.set(data, offset) })
  for (const [offset, length] of [
    [0, 5 * MiB + 512],
    [6 * MiB, 4096],
    [7 * MiB, 4 * MiB],
  ] as const) {
    const data = new Uint8Array(length).map((_, at) => (at * 7 + offset) & 255)
    await sink.write({ offset, data, from: 'file' } as never)
  }
  if (wrongAt !== undefined) store[wrongAt] = (store[wrongAt] as number) ^ 1
  await proof.finish(() => undefined)
  return proof.doneBytes
}

test('an extent that takes several reads is compared as a whole', async () => {
  expect(await extentsReadBack()).toBe(9 * MiB + 512 + 4096)
  for (const at of [0, 2 * MiB, 5 * MiB + 511, 6 * MiB + 4095, 7 * MiB, 11 * MiB - 1]) {
    await expect(extentsReadBack(at)).rejects.toMatchObject({ type: 'ReadBackMismatchError' })
  }
  // between two extents, or behind them, nothing was unpacked
  expect(await extentsReadBack(5 * MiB + 512)).toBe(9 * MiB + 512 + 4096)
})
