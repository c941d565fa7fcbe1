// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { createAlignedPool } from '../../../agent/disk/aligned-pool.ts'
import { createHttpClient } from '../../../agent/http/client.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { createTestAuthority } from '../../support/http-certificates.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'

const MiB = 1024 * 1024
const image = randomBytes(64 * MiB)

test('a sink that stands still stops the transfer after a bounded number of bytes', async () => {
  await using origin = await createHttpOrigin({ bytes: image })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const gate = Promise.withResolvers<void>()
  const disk = createMemoryDisk(image.length, {
    pool: createAlignedPool({ bufferBytes: MiB, count: 3 }),
    onWrite: () => gate.promise,
  })
  const delivery = createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
  // the origin's counter stands still once pool, parser and both socket buffers are full
  let sent = -1
  for (let still = 0; still < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    still = origin.bytesSent === sent && sent > 0 ? still + 1 : 0
    sent = origin.bytesSent
  }
  expect(sent).toBeLessThan(24 * MiB)
  expect(disk.peakWrites).toBe(3)
  gate.resolve()
  await delivery
  expect(sha256(disk.bytes)).toBe(sha256(image))
})

test('several writes are in flight at a time', async () => {
  await using origin = await createHttpOrigin({ bytes: image })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length, {
    pool: createAlignedPool({ bufferBytes: MiB, count: 4 }),
    onWrite: () => new Promise((resolve) => setTimeout(resolve, 3)),
  })
  await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
  expect(disk.peakWrites).toBeGreaterThanOrEqual(2)
  expect(disk.peakWrites).toBeLessThanOrEqual(4)
  expect(sha256(disk.bytes)).toBe(sha256(image))
})

test.each(['http', 'https'])(
  '%s bytes stay whole when the sink halts now and then',
  async (scheme) => {
    const tls = scheme === 'https' ? { tls: (await createTestAuthority()).server } : {}
    await using origin = await createHttpOrigin({ bytes: image, ...tls })
    await using client = createHttpClient({ config: { ...PLAIN_CLIENT, insecure: true } })
    let writes = 0
    const disk = createMemoryDisk(image.length, {
      pool: createAlignedPool({ bufferBytes: 256 * 1024, count: 2 }),
      onWrite: async () => {
        // halts of many lengths, so that reads wait at every stage between socket and pool
        for (let turn = (writes++ * 7) % 23; turn > 0; turn--) {
          await new Promise((resolve) => setImmediate(resolve))
        }
      },
    })
    await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(image))
  },
)

test.each([1, 2])('a pool of %i buffers is enough', async (count) => {
  await using origin = await createHttpOrigin({ bytes: image })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length, {
    pool: createAlignedPool({ bufferBytes: 64 * 1024, count }),
    onWrite: ({ offset }) =>
      offset % (1 << 20) === 0
        ? new Promise((resolve) => setTimeout(resolve, 1))
        : Promise.resolve(),
  })
  await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
  expect(sha256(disk.bytes)).toBe(sha256(image))
})

test('every extent but the last is aligned, whatever the offset of the first', async () => {
  await using origin = await createHttpOrigin({ bytes: image })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length, {
    pool: createAlignedPool({ bufferBytes: MiB, count: 4 }),
    held: { image, ranges: [{ offset: 0, length: 1_234_567 }] },
  })
  await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
  const [first, ...rest] = disk.writes.toSorted((a, b) => a.offset - b.offset)
  expect(first).toEqual({ offset: 1_234_567, length: 2 * MiB - 1_234_567 })
  expect(rest.every(({ offset, length }) => offset % MiB === 0 && length === MiB)).toBe(true)
  expect(sha256(disk.bytes)).toBe(sha256(image))
})
