// SPDX-License-Identifier: Apache-2.0
import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { probeImage } from '../../../agent/sources/http/probe.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createRawServer, type RawRequest } from '../../support/raw-server.ts'

const SIZE = 3_000_000
const image = randomBytes(SIZE)
const never = new AbortController().signal

const statusOnly = (status: number) => (socket: Socket) =>
  socket.write(`HTTP/1.1 ${status} no\r\nContent-Length: 2\r\n\r\nno`)
const partial = (contentRange: string, bytes: number) => (socket: Socket) => {
  const range = contentRange && `Content-Range: ${contentRange}\r\n`
  socket.write(`HTTP/1.1 206 Partial\r\n${range}Content-Length: ${bytes}\r\n\r\n`)
  socket.write(image.subarray(0, bytes))
}

/** What comes to a Range request. */
const REFUSALS: readonly [string, (socket: Socket) => unknown][] = [
  ...[400, 403, 405, 406, 412, 413, 416, 422, 500, 501, 502, 505].map(
    (status) =>
      [`status ${status}`, statusOnly(status)] as [
        string,
        typeof statusOnly extends (s: number) => infer F ? F : never,
      ],
  ),
  ['a reset', (socket) => socket.resetAndDestroy()],
  ['a closed connection', (socket) => socket.destroy()],
  ['a connection closed in the head', (socket) => socket.end('HTTP/1.1 206 Par')],
  ['no HTTP', (socket) => socket.end('no ranges here\r\n\r\n')],
  ['206 without Content-Range', partial('', 1)],
  [
    '206 in several parts',
    (socket) =>
      socket.write(
        'HTTP/1.1 206 x\r\nContent-Type: multipart/byteranges; boundary=b\r\nContent-Length: 0\r\n\r\n',
      ),
  ],
  ['another range', partial(`bytes 7-7/${SIZE}`, 1)],
  ['a range of another size', partial('bytes 0-0/1', 1)],
  ['a Content-Range that is none', partial('1 of many', 1)],
  ['a longer range than asked for', partial(`bytes 0-${SIZE - 1}/${SIZE}`, SIZE)],
  [
    '200 and a length of one byte',
    (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx'),
  ],
  [
    'a packed part',
    (socket) =>
      socket.write(
        `HTTP/1.1 206 x\r\nContent-Encoding: gzip\r\nContent-Range: bytes 0-0/${SIZE}\r\nContent-Length: 1\r\n\r\nx`,
      ),
  ],
]

/** Serves a plain GET and nothing else; `cuts` break off so many answers after a million bytes. */
function serverWithout(refuse: (socket: Socket) => unknown, cuts = 0) {
  let left = cuts
  return createRawServer(({ headers }: RawRequest, socket) => {
    if (headers['range'] !== undefined) return refuse(socket)
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`)
    return left-- > 0 ? socket.end(image.subarray(0, 1_000_000)) : socket.write(image)
  })
}

describe.each(REFUSALS)('a server that answers Range with %s', (_, refuse) => {
  test('tells the size of the image all the same, without a retry', async () => {
    await using server = await serverWithout(refuse)
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const probe = await probeImage(imageOptions(client, [server.url], { retries: 0 }), never)
    expect(probe).toMatchObject({ sizeBytes: SIZE, acceptsRanges: false })
  })

  test('brings an image of which a part is there, and one that breaks off', async () => {
    await using server = await serverWithout(refuse, 1)
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const held = { image, ranges: [{ offset: 0, length: 500_000 }] }
    const disk = createMemoryDisk(SIZE, { held })
    const options = imageOptions(client, [server.url], { retries: 1 })
    await createHttpSource(options).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(image))
    expect(options.logged()).toContain('range refused, asking for the whole image')
  })
})

test.each([408, 425, 429, 503, 504])(
  'status %i to a Range gets a plain GET after the wait',
  async (status) => {
    await using server = await serverWithout(statusOnly(status))
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const options = imageOptions(client, [server.url], { retries: 1 })
    expect((await probeImage(options, never)).sizeBytes).toBe(SIZE)
    expect(server.requests).toHaveLength(2)
    expect(options.logged()).toContain(`status ${status}`)
  },
)

test('a Range that nobody answers gets a plain GET after the wait', async () => {
  await using server = await serverWithout(() => undefined)
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const options = imageOptions(client, [server.url], { retries: 1, timeoutSeconds: 2 })
  expect((await probeImage(options, never)).sizeBytes).toBe(SIZE)
})

test.each([401, 404, 410])(
  'status %i is not of ranges: there is no second question',
  async (status) => {
    await using server = await createRawServer((_, socket) => statusOnly(status)(socket))
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    await expect(probeImage(imageOptions(client, [server.url]), never)).rejects.toThrow(
      `status ${status}`,
    )
    expect(server.requests).toHaveLength(1)
  },
)

test('a server that refuses everything is asked a bounded number of times, and both reasons are named', async () => {
  await using server = await createRawServer(({ headers }, socket) =>
    statusOnly(headers['range'] ? 416 : 500)(socket),
  )
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const probing = probeImage(imageOptions(client, [server.url], { retries: 2 }), never)
  await expect(probing).rejects.toThrow(/3 failures, last: .*status 500; to a Range: .*status 416/)
  expect(server.requests).toHaveLength(6)
})

test('a server with one bad day is asked by Range again', async () => {
  await using origin = await createHttpOrigin({
    bytes: image,
    faults: { truncateAfterBytes: [1_200_000, 1_200_000] },
  })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(SIZE, {
    onWrite: async ({ offset }) => {
      if (offset === 0) origin.faults = { ...origin.faults, statuses: [500] }
    },
  })
  await createHttpSource(imageOptions(client, [origin.url])).deliver(disk.request())
  expect(sha256(disk.bytes)).toBe(sha256(image))
  expect(origin.requests.at(-1)?.status).toBe(206)
})

test('replicas with tags of their own do not end a download that breaks off often', async () => {
  let replica = 0
  await using origin = await createHttpOrigin({
    bytes: image,
    faults: { truncateAfterBytes: Array(9).fill(400_000), etag: '"0"', lastModified: null },
  })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(SIZE)
  const options = imageOptions(
    {
      ...client,
      stream: (...args) => {
        replica = 1 - replica
        origin.faults = { ...origin.faults, etag: `"${replica}"` }
        return client.stream(...args)
      },
    },
    [origin.url],
    { retries: 20 },
  )
  await createHttpSource(options).deliver(disk.request())
  expect(sha256(disk.bytes)).toBe(sha256(image))
})
