// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { createHttpClient, type HttpClient } from '../../../agent/http/client.ts'
import { createRangeReader } from '../../../agent/sources/http/range-reader.ts'
import { RangeUnsupportedError } from '../../../agent/sources/range-reader.ts'
import { imageOptions, PLAIN_CLIENT, randomBytes, sha256 } from '../../support/http-lab.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'

const PIECE = 256 * 1024
const PIECES = 40
const image = randomBytes(PIECE * PIECES)
const never = new AbortController().signal

function pieceRange(index: number) {
  return { offset: index * PIECE, length: PIECE }
}

function pieceOf(index: number): Uint8Array {
  return image.subarray(index * PIECE, (index + 1) * PIECE)
}

/** Runs `work` with a reader over origins of these faults. */
async function withReader<T>(
  faults: readonly HttpOriginFaults[],
  work: (
    reader: ReturnType<typeof createRangeReader>,
    origins: Awaited<ReturnType<typeof createHttpOrigin>>[],
    receivedBytes: () => number,
  ) => Promise<T>,
  settings: Parameters<typeof imageOptions>[2] = {},
): Promise<T> {
  const origins = await Promise.all(
    faults.map((fault) => createHttpOrigin({ bytes: image, faults: fault })),
  )
  await using stack = new AsyncDisposableStack()
  for (const origin of origins) stack.use(origin)
  const http = stack.use(createHttpClient({ config: PLAIN_CLIENT }))
  let receivedBytes = 0
  const client: HttpClient = {
    ...http,
    stream: (url, options, receiver) =>
      http.stream(url, options, {
        onHead: (head, flow) => receiver.onHead(head, flow),
        onBytes: (bytes) => {
          receivedBytes += bytes.length
          receiver.onBytes(bytes)
        },
      }),
  }
  const urls = origins.map(({ url }) => url)
  const reader = createRangeReader({
    ...imageOptions(client, urls, settings),
    totalBytes: image.length,
  })
  return await work(reader, origins, () => receivedBytes)
}

describe('a web seed', () => {
  test('reads ranges side by side, and reuses the connections', async () => {
    await withReader([{}], async (reader, [origin], receivedBytes) => {
      const targets = Array.from({ length: PIECES }, () => new Uint8Array(PIECE))
      let next = 0
      const work = async () => {
        for (let index = next++; index < PIECES; index = next++) {
          await reader.readRange(pieceRange(index), targets[index] as Uint8Array, never)
        }
      }
      await Promise.all([work(), work(), work(), work()])
      for (const [index, target] of targets.entries()) {
        expect(sha256(target)).toBe(sha256(pieceOf(index)))
      }
      // the HTTP library may open a connection while another is just becoming free
      expect(origin?.connections.total).toBeLessThanOrEqual(8)
      expect(origin?.requests).toHaveLength(PIECES)
      expect(origin?.requests.every(({ status }) => status === 206)).toBe(true)
      expect(receivedBytes()).toBe(image.length)
    })
  })

  test('reads into the middle of a larger target without touching the rest', async () => {
    await withReader([{}], async (reader) => {
      const whole = new Uint8Array(3 * PIECE).fill(0xaa)
      await reader.readRange(pieceRange(7), whole.subarray(PIECE, 2 * PIECE), never)
      expect(sha256(whole.subarray(PIECE, 2 * PIECE))).toBe(sha256(pieceOf(7)))
      expect(whole.subarray(0, PIECE).every((byte) => byte === 0xaa)).toBe(true)
      expect(whole.subarray(2 * PIECE).every((byte) => byte === 0xaa)).toBe(true)
    })
  })

  test('asks again after a reset, a short answer and a 503', async () => {
    const faults = { resetAfterBytes: [1000], truncateAfterBytes: [2000], statuses: [503] }
    await withReader([faults], async (reader, [origin]) => {
      const target = new Uint8Array(PIECE)
      await reader.readRange(pieceRange(3), target, never)
      expect(sha256(target)).toBe(sha256(pieceOf(3)))
      // three failures and the success
      expect(origin?.requests).toHaveLength(4)
    })
  })

  test('says by its type that the server knows no ranges, without reading the image', async () => {
    await withReader([{ ignoreRange: true }], async (reader, [origin], receivedBytes) => {
      const read = () => reader.readRange(pieceRange(3), new Uint8Array(PIECE), never)
      await expect(read()).rejects.toBeInstanceOf(RangeUnsupportedError)
      expect(receivedBytes()).toBe(0)
      // no url is live: nobody is asked again
      await expect(read()).rejects.toBeInstanceOf(RangeUnsupportedError)
      expect(origin?.requests).toHaveLength(1)
    })
  })

  test('goes to the url that knows ranges', async () => {
    await withReader([{ ignoreRange: true }, {}], async (reader, [first]) => {
      for (const index of [1, 2, 3]) {
        const target = new Uint8Array(PIECE)
        await reader.readRange(pieceRange(index), target, never)
        expect(sha256(target)).toBe(sha256(pieceOf(index)))
      }
      expect(first?.requests).toHaveLength(1)
    })
  })

  test.each([
    ['another range', { contentRangeShift: 512 }, /Content-Range names/],
    [
      'another size',
      { claimTotalBytes: 5 * PIECE * PIECES },
      /server has 52428800 bytes.*10485760/,
    ],
    ['no such image', { status: 404 }, /status 404/],
    ['an object that ends before the range', { objectBytes: PIECE }, /status 416/],
  ] satisfies [string, HttpOriginFaults, RegExp][])(
    'rules a server out for %s',
    async (_, faults, message) => {
      await withReader([faults], async (reader, [origin]) => {
        const read = () => reader.readRange(pieceRange(5), new Uint8Array(PIECE), never)
        await expect(read()).rejects.toThrow(message)
        await expect(read()).rejects.toMatchObject({ type: 'ImageDownloadError', kind: 'source' })
        expect(origin?.requests).toHaveLength(1)
      })
    },
  )

  test('fails transiently after a few attempts, and works again when the server does', async () => {
    await withReader([{ status: 500 }], async (reader, [origin]) => {
      const target = new Uint8Array(PIECE)
      await expect(reader.readRange(pieceRange(5), target, never)).rejects.toMatchObject({
        type: 'ImageDownloadError',
        kind: 'transient',
      })
      if (origin) origin.faults = {}
      await reader.readRange(pieceRange(5), target, never)
      expect(sha256(target)).toBe(sha256(pieceOf(5)))
    })
  })

  test('is not asked any more after three pieces that failed their hash', async () => {
    await withReader([{ corruptAt: 5 }, {}], async (reader, [bad, good]) => {
      const target = new Uint8Array(PIECE)
      for (let strike = 0; strike < 3; strike++) {
        await reader.readRange(pieceRange(0), target, never)
        expect(sha256(target)).not.toBe(sha256(pieceOf(0)))
        reader.reportCorrupt(pieceRange(0))
      }
      await reader.readRange(pieceRange(0), target, never)
      expect(sha256(target)).toBe(sha256(pieceOf(0)))
      expect([bad?.requests.length, good?.requests.length]).toEqual([3, 1])
    })
  })

  test('leaves it to the hashes of the pieces whether the image was replaced on the server', async () => {
    await withReader([{}], async (reader, [origin]) => {
      const target = new Uint8Array(PIECE)
      await reader.readRange(pieceRange(1), target, never)
      origin?.replace(randomBytes(image.length))
      for (const index of [2, 3, 4]) {
        await reader.readRange(pieceRange(index), target, never)
        reader.reportCorrupt(pieceRange(index))
      }
      await expect(reader.readRange(pieceRange(5), target, never)).rejects.toThrow(
        /3 pieces from it failed their hash; it serves another image/,
      )
    })
  })

  test('takes pieces from replicas that tag the same bytes differently', async () => {
    await withReader([{}], async (reader, [origin]) => {
      const target = new Uint8Array(PIECE)
      for (let index = 0; index < 6; index++) {
        if (origin) origin.faults = { etag: `"replica-${index % 2}"`, lastModified: null }
        await reader.readRange(pieceRange(index), target, never)
        expect(sha256(target)).toBe(sha256(pieceOf(index)))
      }
      expect(origin?.requests.map(({ status }) => status)).toEqual(Array(6).fill(206))
    })
  })

  test('ends at once when its signal aborts', async () => {
    await withReader([{ stallAfterBytes: [1000] }], async (reader) => {
      const controller = new AbortController()
      const reason = new Error('enough')
      const reading = reader.readRange(pieceRange(1), new Uint8Array(PIECE), controller.signal)
      setTimeout(() => controller.abort(reason), 50)
      await expect(reading).rejects.toBe(reason)
    })
  })

  test('works in a worker thread that is given plain data only', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    const root = new URL('../../../agent/', import.meta.url).href
    const script = `
      const { parentPort, workerData } = await import('node:worker_threads')
      const { createHttpClient } = await import(workerData.root + 'http/client.ts')
      const { createRangeReader } = await import(workerData.root + 'sources/http/range-reader.ts')
      const { createLogger } = await import(workerData.root + 'telemetry/logger.ts')
      const client = createHttpClient(workerData.client)
      const log = createLogger({ level: 'silent' })
      const reader = createRangeReader({ ...workerData.reader, client, log, random: Math.random })
      const target = new Uint8Array(${PIECE})
      await reader.readRange({ offset: ${9 * PIECE}, length: ${PIECE} }, target, new AbortController().signal)
      await client[Symbol.asyncDispose]()
      parentPort.postMessage(target)
    `
    const { config } = imageOptions(createHttpClient({ config: PLAIN_CLIENT }), [])
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
      workerData: {
        root,
        client: { config: PLAIN_CLIENT, proxies: {}, noProxy: '' },
        reader: { urls: [origin.url], config, totalBytes: image.length },
      },
    })
    // the thread may be gone by the time its message is looked at
    const exited = once(worker, 'exit')
    const [bytes] = (await once(worker, 'message')) as [Uint8Array]
    expect(sha256(bytes)).toBe(sha256(pieceOf(9)))
    await exited
  })
})
