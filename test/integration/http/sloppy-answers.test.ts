// SPDX-License-Identifier: Apache-2.0
import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createRawServer, type RawRequest } from '../../support/raw-server.ts'

const image = randomBytes(3_000_000)
const LENGTH = `Content-Length: ${image.length}`

function chunks(bytes: Uint8Array, lineEnd: string, size: (hex: string) => string): Buffer {
  const parts: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += 100_001) {
    const part = bytes.subarray(at, at + 100_001)
    parts.push(Buffer.from(`${size(part.length.toString(16))}${lineEnd}`), part)
    parts.push(Buffer.from(lineEnd))
  }
  return Buffer.concat([...parts, Buffer.from(`0${lineEnd}${lineEnd}`)])
}

const same = (hex: string) => hex

/** Heads that curl takes, with the body as it comes. */
const TAKEN: readonly [string, string, Uint8Array][] = [
  ['lines that end without CR', `HTTP/1.1 200 OK\n${LENGTH}\n\n`, image],
  ['some lines that end without CR', `HTTP/1.1 200 OK\r\n${LENGTH}\n\r\n`, image],
  ['a folded header', `HTTP/1.1 200 OK\r\nX: one;\r\n   two\r\n${LENGTH}\r\n\r\n`, image],
  ['a header folded by a tab', `HTTP/1.1 200 OK\r\n${LENGTH}\r\nX: one;\r\n\ttwo\r\n\r\n`, image],
  ['its length twice', `HTTP/1.1 200 OK\r\n${LENGTH}\r\n${LENGTH}\r\n\r\n`, image],
  ['its length twice in a line', `HTTP/1.1 200 OK\r\n${LENGTH}, ${image.length}\r\n\r\n`, image],
  [
    'a length beside chunks',
    `HTTP/1.1 200 OK\r\n${LENGTH}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    chunks(image, '\r\n', same),
  ],
  [
    'a wrong length beside chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n',
    chunks(image, '\r\n', same),
  ],
  [
    'chunks whose lines end without CR',
    'HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n',
    chunks(image, '\n', same),
  ],
  [
    'white space after the size of a chunk',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    chunks(image, '\r\n', (hex) => `${hex}   `),
  ],
  [
    'white space before a colon',
    `HTTP/1.1 200 OK\r\nContent-Length : ${image.length}\r\n\r\n`,
    image,
  ],
  ['a line that is no header', `HTTP/1.1 200 OK\r\nhello\r\n${LENGTH}\r\n\r\n`, image],
  [
    'a 100 nobody asked for',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n${LENGTH}\r\n\r\n`,
    image,
  ],
  ['the end of the connection as its end', 'HTTP/1.1 200 OK\nX: 1\n\n', image],
]

/** Delivers the image from a server that answers so. */
async function deliverFrom(answer: (request: RawRequest, socket: Socket) => unknown, retries = 1) {
  await using server = await createRawServer(answer)
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length)
  const options = imageOptions(client, [server.url], { retries })
  const error = await createHttpSource(options)
    .deliver(disk.request())
    .then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    )
  return { disk, error, requests: server.requests }
}

describe('an image whose server is sloppy comes all the same', () => {
  test.each(TAKEN)('with %s', async (_, head, body) => {
    const { disk, error, requests } = await deliverFrom((__, socket) => {
      socket.write(head)
      socket.end(body)
    })
    expect(error).toBeUndefined()
    expect(sha256(disk.bytes)).toBe(sha256(image))
    // what had to be mended came on a connection of its own
    expect(requests.at(-1)?.headers['connection']).toMatch(/close|keep-alive/)
  })

  test.each([1, 7])('when it comes in pieces of %i bytes', async (step) => {
    const small = image.subarray(0, 3000)
    await using server = await createRawServer(async (_, socket) => {
      socket.setNoDelay(true)
      const text = Buffer.concat([
        Buffer.from('HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nX: a\n b\n\n'),
        chunks(small, '\n', same),
      ])
      for (let at = 0; at < text.length; at += step) {
        socket.write(text.subarray(at, at + step))
        if (at % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const disk = createMemoryDisk(small.length)
    await createHttpSource(imageOptions(client, [server.url])).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(small))
  })

  test('and is asked so from then on, once per connection', async () => {
    await using server = await createRawServer((_, socket) =>
      socket.write('HTTP/1.1 200 OK\nContent-Length: 2\n\nok'),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    for (let i = 0; i < 3; i++) expect((await client.request(server.url)).text()).toBe('ok')
    // refused once, and mended three times
    expect(server.requests).toHaveLength(4)
    expect(server.requests.slice(1).map(({ headers }) => headers['connection'])).toEqual(
      Array(3).fill('close'),
    )
    const posted = await client.request(server.url, { method: 'POST', body: '{}' })
    expect(posted.text()).toBe('ok')
  })
})

describe('what no client takes is refused', () => {
  test.each([
    ['two lengths that differ', `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n${LENGTH}\r\n\r\n`],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\nContent-Length: 1e6\r\n\r\n'],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['a chunk without size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\nX: ${'x'.repeat(100_000)}`],
  ])('%s', async (_, head) => {
    const { error, requests, disk } = await deliverFrom((__, socket) => {
      socket.write(head)
      socket.end(image)
    })
    expect(error).toMatchObject({ type: 'ImageDownloadError' })
    expect(requests.length).toBeLessThanOrEqual(4)
    expect(disk.coverage.isComplete).toBe(false)
  })

  test('a POST is not sent twice for it', async () => {
    await using server = await createRawServer((_, socket) =>
      socket.write('HTTP/1.1 200 OK\nContent-Length: 2\n\nok'),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    await expect(client.request(server.url, { method: 'POST', body: 'x' })).rejects.toThrow(
      /not valid HTTP|ended before/,
    )
    expect(server.requests).toHaveLength(1)
  })
})

test('a chunked body that breaks off is taken up again', async () => {
  let isFirst = true
  const { disk, error } = await deliverFrom(({ headers }, socket) => {
    const from = Number(/\d+/.exec(headers['range'] ?? '')?.[0] ?? 0)
    const body = chunks(image.subarray(from), '\r\n', same)
    const range = `Content-Range: bytes ${from}-${image.length - 1}/${image.length}\r\n`
    socket.write(
      `HTTP/1.1 ${from ? 206 : 200} OK\r\n${from ? range : ''}Transfer-Encoding: chunked\r\n\r\n`,
    )
    socket.end(isFirst ? body.subarray(0, 2_000_000) : body)
    isFirst = false
  })
  expect(error).toBeUndefined()
  expect(sha256(disk.bytes)).toBe(sha256(image))
})
