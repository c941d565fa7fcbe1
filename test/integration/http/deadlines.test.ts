// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { openPlan } from '../../../agent/image/plan/open-plan.ts'
import { parseImageInfo } from '../../../agent/image/request/image-info.ts'
import { fetchSmall } from '../../../agent/sources/http/fetch-small.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { probeImage } from '../../../agent/sources/http/probe.ts'
import { createRangeReader } from '../../../agent/sources/http/range-reader.ts'
import { createRoot } from '../../../agent/system/root.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createRawServer, drip, type RawRequest } from '../../support/raw-server.ts'
import { testConfig, testLogger } from '../image/deploy-lab.ts'

const SIZE = 5_000_000
const never = new AbortController().signal
const LENGTH = `HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n`
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n'

type Answer = (request: RawRequest, socket: Socket) => unknown

/** A body that never ends within the deadline, by the way it trickles in. */
const SLOW_BODIES: readonly [string, Answer][] = [
  ['single bytes', (_, socket) => drip(socket, `${LENGTH}\r\n`, 'x', 5)],
  ['single bytes of a chunk', (_, socket) => drip(socket, `${CHUNKED}\r\n4c4b40\r\n`, 'x', 5)],
  ['the extension of a chunk', (_, socket) => drip(socket, `${CHUNKED}\r\n5;`, 'x', 5)],
  ['chunks of one byte', (_, socket) => drip(socket, `${CHUNKED}\r\n`, '1\r\nx\r\n', 5)],
  ['nothing at all', (_, socket) => socket.write(`${LENGTH}\r\n`)],
]

/** A head that never comes, however busy the server is. */
/** What comes, what is said of it, and the seconds of patience: 0.2 unless given. */
const SLOW_HEADS: readonly [string, Answer, RegExp, number?][] = [
  [
    'answers of status 1xx as fast as they go',
    (_, socket) => drip(socket, '', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(200), 1),
    /answers of status 1xx and no other/,
    // their number ends it, not the time
    30,
  ],
  [
    'an answer of status 1xx now and then',
    (_, socket) => drip(socket, '', 'HTTP/1.1 103 Early Hints\r\n\r\n', 20),
    /no (complete head of an )?answer within 0\.[346]\d* s/,
  ],
  [
    'a header that goes on and on',
    (_, socket) => drip(socket, `${LENGTH}x: `, 'x', 5),
    /no (complete head of an )?answer (within|in time)/,
  ],
  [
    'one redirect after the other, each in good time',
    async ({ line }, socket) => {
      await delay(90)
      const at = Number(/\d+/.exec(line)?.[0] ?? 0)
      socket.write(`HTTP/1.1 302 Found\r\nLocation: /${at + 1}\r\nContent-Length: 0\r\n\r\n`)
    },
    /within 0\.\d+ s/,
  ],
]

describe('a download from a server that takes for ever', () => {
  test.each(SLOW_BODIES)('ends with the numbers when the body is %s', async (_, answer) => {
    await using server = await createRawServer(answer)
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const lowSpeed = { bytesPerSecond: 10_000, seconds: 0.2 }
    const options = imageOptions(client, [server.url], { retries: 1, lowSpeed })
    const delivery = createHttpSource(options).deliver(createMemoryDisk(SIZE).request())
    await expect(delivery).rejects.toMatchObject({ type: 'ImageDownloadError' })
    await expect(delivery).rejects.toThrow(
      /2 failures.*too slow: \d+ bytes came in 0\.2 s, the least is 10000 bytes per second/,
    )
    expect(server.requests).toHaveLength(2)
  })

  test.each(SLOW_HEADS)(
    'ends with the numbers when it sends %s',
    async (_, answer, message, timeoutSeconds = 0.2) => {
      await using server = await createRawServer(answer)
      await using client = createHttpClient({ config: PLAIN_CLIENT })
      const options = imageOptions(client, [server.url], { retries: 0, timeoutSeconds })
      const disk = createMemoryDisk(SIZE)
      for (const asking of [
        () => createHttpSource(options).deliver(disk.request()),
        () => probeImage(options, never),
        () => fetchSmall({ ...options, url: server.url, maxBytes: 1000 }, never),
      ]) {
        await expect(asking()).rejects.toMatchObject({ type: 'ImageDownloadError' })
        await expect(asking()).rejects.toThrow(message)
      }
    },
  )

  test('ends the same for a piece of a swarm', async () => {
    await using server = await createRawServer((_, socket) =>
      drip(
        socket,
        `HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99999/${SIZE}\r\n\r\n`,
        'x',
        5,
      ),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const lowSpeed = { bytesPerSecond: 10_000, seconds: 0.1 }
    const reader = createRangeReader({
      ...imageOptions(client, [server.url], { lowSpeed }),
      totalBytes: SIZE,
    })
    const range = { offset: 0, length: 100_000 }
    await expect(reader.readRange(range, new Uint8Array(100_000), never)).rejects.toThrow(
      /4 attempts failed, last: .*too slow/,
    )
  })
})

test('the body of a redirect is not waited for', async () => {
  await using target = await createHttpOrigin({ bytes: randomBytes(1000) })
  await using server = await createRawServer((_, socket) =>
    drip(
      socket,
      `HTTP/1.1 302 Found\r\nLocation: ${target.url}\r\nContent-Length: 60000\r\n\r\n`,
      'x',
      5,
    ),
  )
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  expect((await probeImage(imageOptions(client, [server.url]), never)).sizeBytes).toBe(1000)
})

test('a disk that is slow does not count as a slow server', async () => {
  const image = randomBytes(SIZE)
  await using origin = await createHttpOrigin({ bytes: image })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(SIZE, { onWrite: () => delay(400) })
  const options = imageOptions(client, [origin.url], {
    retries: 0,
    // more than this disk takes, less than any server of loopback sends
    lowSpeed: { bytesPerSecond: 5_000_000, seconds: 0.2 },
  })
  await createHttpSource(options).deliver(disk.request())
  expect(sha256(disk.bytes)).toBe(sha256(image))
  expect(origin.requests).toHaveLength(1)
})

test('a speed limit of 0 is none', async () => {
  const image = randomBytes(100_000)
  await using origin = await createHttpOrigin({
    bytes: image,
    faults: { rateBytesPerSecond: 400_000 },
  })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length)
  const options = imageOptions(client, [origin.url], {
    retries: 0,
    lowSpeed: { bytesPerSecond: 0, seconds: 0.01 },
  })
  await createHttpSource(options).deliver(disk.request())
  expect(sha256(disk.bytes)).toBe(sha256(image))
})

describe('image_download_max_duration', () => {
  /** Plans an image whose server answers so, with a second for everything. */
  async function planFrom(answer: Answer, fields: object) {
    const folder = await mkdtemp(join(tmpdir(), 'ironswarm-deadline-'))
    try {
      await using server = await createRawServer(answer)
      const devicePath = join(folder, 'disk')
      await writeFile(devicePath, '')
      await truncate(devicePath, 64 * 1024 * 1024)
      const config = testConfig({
        image_download_max_duration: 1,
        image_download_connection_timeout: 60,
        image_download_connection_retries: 9,
      })
      const info = {
        id: 'image',
        urls: [server.url],
        disk_format: 'raw',
        os_hash_algo: 'sha256',
        os_hash_value: '00'.repeat(32),
        ...fields,
      }
      const text = JSON.stringify(info).replaceAll('SERVER', new URL(server.url).origin)
      const imageInfo = parseImageInfo(JSON.parse(text), config)
      const deps = { config, root: createRoot('/'), log: testLogger(), random: Math.random }
      const opened = await openPlan({ imageInfo, configdrive: null, devicePath }, never, deps)
      await opened[Symbol.asyncDispose]()
    } finally {
      await rm(folder, { recursive: true })
    }
  }

  const mute: Answer = () => undefined
  /** 1 KiB that begins with an MBR: what is no disk is refused before it is counted. */
  const chunkOfDisk = () => {
    const bytes = Buffer.alloc(1024)
    bytes.set([0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0], 446)
    bytes.set([0x55, 0xaa], 510)
    return Buffer.concat([Buffer.from('400\r\n'), bytes, Buffer.from('\r\n')])
  }
  test.each([
    ['the probe', mute, {}],
    [
      'waits between attempts',
      (_, socket) => socket.write('HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n'),
      {},
    ],
    ['counting', (_, socket) => drip(socket, `${CHUNKED}\r\n`, chunkOfDisk(), 5), {}],
    ['the checksum file', mute, { os_hash_value: 'SERVER/sums' }],
    ['the torrent', mute, { torrent: { info: { urls: ['SERVER/t.torrent'] } } }],
  ] satisfies [string, Answer, object][])('ends %s too', async (_, answer, fields) => {
    const planning = planFrom(answer, fields)
    await expect(planning).rejects.toMatchObject({ type: 'ImageDownloadTimeoutError', status: 408 })
    await expect(planning).rejects.toThrow(/in 1 s, the limit of image_download_max_duration/)
  })
})
