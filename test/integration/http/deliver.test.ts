// SPDX-License-Identifier: Apache-2.0
import { beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import {
  createMemoryDisk,
  imageOptions,
  type MemoryDisk,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'

const SIZE = 20_000_001
let image: Uint8Array<ArrayBuffer>
let digest: string

beforeAll(() => {
  image = randomBytes(SIZE)
  digest = sha256(image)
})

/** One delivery of the image from one faulty origin. */
async function deliverFrom(
  faults: HttpOriginFaults,
  settings: Parameters<typeof imageOptions>[2] & { disk?: MemoryDisk } = {},
) {
  await using origin = await createHttpOrigin({ bytes: image, faults })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = settings.disk ?? createMemoryDisk(SIZE)
  const options = imageOptions(client, [origin.url], settings)
  await using source = createHttpSource(options)
  const error = await source.deliver(disk.request()).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  )
  return { disk, error, requests: origin.requests, bytesSent: origin.bytesSent, options, origin }
}

describe('a delivery over HTTP', () => {
  test('asks once, without Range, when the whole image is missing', async () => {
    const { disk, error, requests } = await deliverFrom({})
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests.map(({ range, status }) => [range, status])).toEqual([[undefined, 200]])
    expect(requests[0]?.headers['accept-encoding']).toBe('identity')
  })

  test('goes on by Range exactly where a reset connection broke, with the entity tag as condition', async () => {
    const { disk, error, requests } = await deliverFrom({ resetAfterBytes: [7_000_000, 5_000_000] })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests.map(({ status }) => status)).toEqual([200, 206, 206])
    for (const { headers, range } of requests.slice(1)) {
      expect(headers['if-range']).toMatch(/^"/)
      expect(range).toMatch(/^bytes=[1-9]\d*-20000000$/)
    }
    // nothing was fetched twice: the writes do not overlap
    expect(disk.writes.reduce((sum, { length }) => sum + length, 0)).toBe(SIZE)
  })

  test('loses nothing it received before a truncated answer ended', async () => {
    const { disk, error, requests } = await deliverFrom({ truncateAfterBytes: [7_000_001] })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests[1]?.range).toBe('bytes=7000001-20000000')
  })

  test('uses Last-Modified as condition when there is no entity tag', async () => {
    const { disk, error, requests } = await deliverFrom({
      etag: null,
      truncateAfterBytes: [3_000_000],
    })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests[1]?.headers['if-range']).toMatch(/GMT$/)
    expect(requests[1]?.status).toBe(206)
  })

  test('does not use a weak entity tag as condition', async () => {
    const { disk, error, requests } = await deliverFrom({
      etag: 'W/"1"',
      truncateAfterBytes: [3_000_000],
    })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests[1]?.headers['if-range']).toBeUndefined()
    expect(requests[1]?.status).toBe(206)
  })

  test('fetches only what the disk lacks', async () => {
    const ranges = [
      { offset: 0, length: 1_000_000 },
      { offset: 1_500_001, length: 9_000_000 },
      { offset: 19_999_000, length: 1001 },
    ]
    const disk = createMemoryDisk(SIZE, { held: { image, ranges } })
    const { error, requests, bytesSent } = await deliverFrom({}, { disk })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests.map(({ range }) => range)).toEqual([
      'bytes=1000000-1500000',
      'bytes=10500001-19998999',
    ])
    expect(bytesSent).toBe(SIZE - 10_001_001)
  })

  test('takes one whole body from a server that ignores Range, and writes only what is missing', async () => {
    const ranges = [
      { offset: 100, length: 5_000_000 },
      { offset: 9_000_000, length: 7 },
    ]
    const disk = createMemoryDisk(SIZE, { held: { image, ranges } })
    const { error, requests } = await deliverFrom({ ignoreRange: true }, { disk })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests.map(({ status }) => status)).toEqual([200])
    expect(disk.writes.reduce((sum, { length }) => sum + length, 0)).toBe(SIZE - 5_000_007)
  })

  test('finishes from a server that ignores Range and breaks', async () => {
    const { disk, error, requests } = await deliverFrom({
      ignoreRange: true,
      truncateAfterBytes: [12_000_000],
    })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests.map(({ status }) => status)).toEqual([200, 200])
    expect(disk.writes.reduce((sum, { length }) => sum + length, 0)).toBe(SIZE)
  })

  test('works without a Content-Length', async () => {
    const { disk, error } = await deliverFrom({ chunked: true, resetAfterBytes: [9_000_000] })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
  })

  test('starts over when the image changed on the server, and ends with the new one', async () => {
    const renewed = randomBytes(SIZE)
    let isRenewed = false
    await using origin = await createHttpOrigin({
      bytes: image,
      faults: { truncateAfterBytes: [8_000_000] },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const disk = createMemoryDisk(SIZE, {
      onWrite: async ({ offset }) => {
        if (offset < 4_000_000 || isRenewed) return
        isRenewed = true
        origin.replace(renewed)
      },
    })
    await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(renewed))
  })

  test('starts over when the server ignores If-Range and sends a part of the new image', async () => {
    const renewed = randomBytes(SIZE)
    let isRenewed = false
    await using origin = await createHttpOrigin({
      bytes: image,
      faults: { truncateAfterBytes: [8_000_000], ignoreIfRange: true },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const disk = createMemoryDisk(SIZE, {
      onWrite: async ({ offset }) => {
        if (offset < 4_000_000 || isRenewed) return
        isRenewed = true
        origin.replace(renewed)
      },
    })
    await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(renewed))
  })

  test('survives an origin that goes down in mid-body and comes back', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    let outage: Promise<void> | undefined
    const options = imageOptions(client, [origin.url], { retries: 100, retryIntervalSeconds: 0.05 })
    const comeBackOnceMissed = async () => {
      await origin.goDown()
      while (!options.logged().includes('ECONNREFUSED')) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await origin.comeBack()
    }
    const disk = createMemoryDisk(SIZE, {
      onWrite: async ({ offset }) => {
        if (offset > 5_000_000) outage ??= comeBackOnceMissed()
      },
    })
    await createHttpSource(options).deliver(disk.request())
    await outage
    expect(sha256(disk.bytes)).toBe(digest)
    expect(options.logged()).toContain('ECONNREFUSED')
  })

  test('breaks off a stalled read and goes on where it stopped', async () => {
    const { disk, error, requests } = await deliverFrom(
      { stallAfterBytes: [6_000_000] },
      { timeoutSeconds: 2 },
    )
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests[1]?.range).toBe('bytes=6000000-20000000')
  })

  test('asks again after 503, 429 and 408', async () => {
    const { disk, error, requests } = await deliverFrom({ statuses: [503, 429, 408] })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(digest)
    expect(requests.map(({ status }) => status)).toEqual([503, 429, 408, 200])
  })
})

describe('a delivery that cannot succeed', () => {
  const cases: readonly [string, HttpOriginFaults, number, RegExp][] = [
    [
      'the object is shorter than the image',
      { objectBytes: 12_345 },
      1,
      /has 12345 bytes.*20000001/,
    ],
    ['the server claims a larger image', { claimTotalBytes: 30_000_000 }, 1, /has 30000000 bytes/],
    ['the server never has it', { status: 404 }, 1, /status 404/],
    ['the server forbids it', { status: 403 }, 1, /status 403/],
    ['the server keeps failing', { status: 500 }, 4, /4 failures.*status 500/],
    [
      'the body encoding is not the image',
      { headers: { 'content-encoding': 'gzip' } },
      1,
      /Content-Encoding gzip/,
    ],
  ]
  test.each(cases)('names the numbers when %s', async (_, faults, requests, message) => {
    const outcome = await deliverFrom(faults)
    expect(outcome.error).toMatchObject({ type: 'ImageDownloadError', kind: 'source' })
    expect(outcome.error?.message).toMatch(message)
    expect(outcome.requests).toHaveLength(requests)
    expect(outcome.disk.coverage.coveredBytes).toBe(0)
  })

  // a plain GET fares no better
  const resumed: readonly [string, HttpOriginFaults, RegExp][] = [
    [
      'another range comes than was asked for',
      { contentRangeShift: 4096, claimLengthBytes: 12_345 },
      /has 12345 bytes.*to a Range: .*names bytes 5\d{6}-/,
    ],
    [
      'the range is refused',
      { rangeNotSatisfiable: true, claimLengthBytes: 12_345 },
      /has 12345 bytes.*to a Range: .*status 416.*has 20000001 bytes/,
    ],
  ]
  test.each(resumed)('names the numbers when on resuming %s', async (_, faults, message) => {
    const disk = createMemoryDisk(SIZE, {
      held: { image, ranges: [{ offset: 0, length: 5_000_000 }] },
    })
    const outcome = await deliverFrom(faults, { disk })
    expect(outcome.error).toMatchObject({ type: 'ImageDownloadError', kind: 'source' })
    expect(outcome.error?.message).toMatch(message)
    expect(disk.coverage.coveredBytes).toBe(5_000_000)
  })

  test('names the numbers when a chunked body goes on after the end of the image', async () => {
    const disk = createMemoryDisk(SIZE - 1000)
    const { error } = await deliverFrom({ chunked: true }, { disk })
    expect(error).toMatchObject({ type: 'ImageDownloadError' })
    expect(error?.message).toMatch(/goes on after byte 19999001/)
  })

  test('gives up on a chunked body that always ends too early', async () => {
    const { error, disk } = await deliverFrom({ chunked: true, objectBytes: 9_999_999 })
    expect(error).toMatchObject({ type: 'ImageDownloadError', kind: 'source' })
    expect(error?.message).toMatch(/9999999/)
    expect(disk.coverage.coveredBytes).toBe(9_999_999)
  })

  test('has a limit on connections that bring crumbs only', async () => {
    const { error, requests } = await deliverFrom(
      { resetAfterBytes: Array.from({ length: 100 }, () => 1000) },
      { retries: 5 },
    )
    expect(error).toMatchObject({ type: 'ImageDownloadError' })
    expect(requests).toHaveLength(6)
  })

  test('stops at 401 at once and says which options to set', async () => {
    const { error, requests } = await deliverFrom({ status: 401 })
    expect(error).toMatchObject({ type: 'ImageDownloadFatalError', kind: 'fatal' })
    expect(error?.message).toMatch(/401.*image_server_user/)
    expect(requests).toHaveLength(1)
  })

  test('gives up when a changing image changes again and again', async () => {
    let version = 0
    await using origin = await createHttpOrigin({
      bytes: image,
      faults: { truncateAfterBytes: Array.from({ length: 50 }, () => 8_000_000) },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const disk = createMemoryDisk(SIZE, {
      onWrite: async () => {
        origin.faults = { ...origin.faults, etag: `"${version++}"` }
      },
    })
    const source = createHttpSource(imageOptions(client, [origin.url]))
    await expect(source.deliver(disk.request())).rejects.toThrow(/the image changed 3 times/)
  })

  test('ends at once when the signal aborts, and leaves no write behind', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const controller = new AbortController()
    let writing = 0
    const disk = createMemoryDisk(SIZE, {
      onWrite: async ({ offset }) => {
        writing++
        if (offset > 3_000_000) controller.abort()
        await new Promise((resolve) => setTimeout(resolve, 5))
        writing--
      },
    })
    const source = createHttpSource(imageOptions(client, [origin.url]))
    const delivery = source.deliver(disk.request({ signal: controller.signal }))
    await expect(delivery).rejects.toMatchObject({ type: 'CancelledError' })
    expect(writing).toBe(0)
    expect(disk.coverage.isComplete).toBe(false)
  })

  test('passes an error of the sink on unchanged and does not ask again', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    const disk = createMemoryDisk(SIZE, {
      onWrite: async ({ offset }) => {
        if (offset > 3_000_000) throw full
      },
    })
    const source = createHttpSource(imageOptions(client, [origin.url]))
    await expect(source.deliver(disk.request())).rejects.toBe(full)
    expect(origin.requests).toHaveLength(1)
    expect(origin.connections.now).toBeLessThanOrEqual(1)
  })
})

describe('several urls', () => {
  test('the second brings the rest when the first breaks', async () => {
    await using first = await createHttpOrigin({
      bytes: image,
      faults: { resetAfterBytes: [5_000_000], statuses: [] },
    })
    await using second = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const disk = createMemoryDisk(SIZE, {
      onWrite: async () => {
        first.faults.status = 503
      },
    })
    await createHttpSource(imageOptions(client, [first.url, second.url])).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(digest)
    expect(second.requests.map(({ status }) => status)).toEqual([206])
    expect(first.bytesSent).toBeGreaterThan(0)
  })

  test('a missing image on the first is not asked for twice', async () => {
    await using first = await createHttpOrigin({ bytes: image, faults: { status: 404 } })
    await using second = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const disk = createMemoryDisk(SIZE)
    await createHttpSource(imageOptions(client, [first.url, second.url])).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(digest)
    expect(first.requests).toHaveLength(1)
  })

  test('when all fail, the error names each with its reason', async () => {
    await using first = await createHttpOrigin({ bytes: image, faults: { status: 404 } })
    await using second = await createHttpOrigin({ bytes: image, faults: { status: 502 } })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const source = createHttpSource(imageOptions(client, [first.url, second.url]))
    const error = await source.deliver(createMemoryDisk(SIZE).request()).catch((e: Error) => e)
    expect((error as Error).message).toMatch(/status 404.*status 502/)
    expect(second.requests).toHaveLength(4)
  })
})
