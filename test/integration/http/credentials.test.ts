// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient, type HttpClientSettings } from '../../../agent/http/client.ts'
import { authorizationOf } from '../../../agent/sources/http/authorization.ts'
import { fetchSmall } from '../../../agent/sources/http/fetch-small.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { probeImage } from '../../../agent/sources/http/probe.ts'
import { createRangeReader } from '../../../agent/sources/http/range-reader.ts'
import { createTestAuthority, type TestAuthority } from '../../support/http-certificates.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createRawServer } from '../../support/raw-server.ts'

const image = randomBytes(3_000_000)
const NOTHING_SET = {
  image_server_auth_strategy: 'noauth',
  image_server_user: null,
  image_server_password: null,
} as const
const never = new AbortController().signal

describe('credentials', () => {
  test('basic auth of image_info opens the image server', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      auth: { user: 'deploy', password: 'pä:ss' },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const authorization = authorizationOf(
      {
        image_server_auth_strategy: 'http_basic',
        image_server_user: 'deploy',
        image_server_password: 'pä:ss',
      },
      NOTHING_SET,
    ) as string
    const disk = createMemoryDisk(image.length)
    const options = imageOptions(client, [origin.url], { authorization })
    await createHttpSource(options).deliver(disk.request())
    expect(sha256(disk.bytes)).toBe(sha256(image))
  })

  test('image_request_authorization is sent verbatim', async () => {
    const header = 'Bearer abc.def-ghi'
    await using origin = await createHttpOrigin({ bytes: image, auth: { authorization: header } })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const authorization = authorizationOf(
      {
        image_request_authorization: Buffer.from(header).toString('base64'),
        image_server_auth_strategy: 'http_basic',
        image_server_user: 'loses',
        image_server_password: 'loses',
      },
      NOTHING_SET,
    ) as string
    const probe = await probeImage(imageOptions(client, [origin.url], { authorization }), never)
    expect(probe.sizeBytes).toBe(image.length)
  })

  test('user and password inside of the url work and never show', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      auth: { user: 'deploy', password: 'geheim' },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const good = origin.url.replace('://', '://deploy:geheim@')
    const options = imageOptions(client, [good])
    expect((await probeImage(options, never)).sizeBytes).toBe(image.length)
    origin.faults = { status: 500 }
    const error = await probeImage(options, never).catch((thrown: Error) => thrown)
    expect(String((error as Error).message)).not.toContain('geheim')
    expect(options.logged()).not.toContain('geheim')
  })

  test('a wrong password shows neither in the error nor in the log', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      auth: { user: 'deploy', password: 'right' },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const authorization = `Basic ${Buffer.from('deploy:sesame').toString('base64')}`
    const options = imageOptions(client, [`${origin.url}?temp_url_sig=feedface`], { authorization })
    const error = (await probeImage(options, never).catch((thrown: Error) => thrown)) as Error
    expect(error).toMatchObject({ type: 'ImageDownloadFatalError' })
    for (const text of [error.message, options.logged()]) {
      expect(text).not.toMatch(/sesame|feedface|ZGVwbG95/)
    }
  })
})

describe('credentials are shown to nobody but the server they are for', () => {
  const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`

  test('not to a mirror elsewhere, for the whole image or for pieces of it', async () => {
    await using origin = await createHttpOrigin({ bytes: image, faults: { status: 404 } })
    await using mirror = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const options = imageOptions(client, [origin.url, mirror.url], { authorization })
    const disk = createMemoryDisk(image.length)
    await createHttpSource(options).deliver(disk.request())
    await probeImage(options, never)
    const reader = createRangeReader({
      ...options,
      urls: [mirror.url, origin.url],
      totalBytes: image.length,
    })
    await reader.readRange({ offset: 0, length: 10 }, new Uint8Array(10), never)
    expect(sha256(disk.bytes)).toBe(sha256(image))
    expect(origin.requests.length).toBeGreaterThan(0)
    for (const { headers } of origin.requests) expect(headers.authorization).toBe(authorization)
    expect(mirror.requests.length).toBeGreaterThan(2)
    for (const { headers } of mirror.requests) expect(headers.authorization).toBeUndefined()
  })

  test('not to the server of the checksum file, unless it is the same', async () => {
    await using origin = await createHttpOrigin({ bytes: image, files: { '/sums': 'x' } })
    await using other = await createHttpOrigin({ bytes: image, files: { '/sums': 'x' } })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const options = imageOptions(client, [origin.url], { authorization })
    for (const { baseUrl } of [origin, other]) {
      await fetchSmall({ ...options, url: `${baseUrl}/sums`, maxBytes: 100 }, never)
    }
    expect(origin.requests[0]?.headers.authorization).toBe(authorization)
    expect(other.requests[0]?.headers.authorization).toBeUndefined()
  })

  test('a mirror that wants some has its own in its url, or is passed by with a word why', async () => {
    const auth = { user: 'm', password: 'irror' }
    await using mirror = await createHttpOrigin({ bytes: image, auth })
    await using origin = await createHttpOrigin({ bytes: image, faults: { status: 404 } })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const probe = (url: string) =>
      probeImage(imageOptions(client, [origin.url, url], { authorization }), never)
    await expect(probe(mirror.url)).rejects.toMatchObject({ type: 'ImageDownloadError' })
    await expect(probe(mirror.url)).rejects.toThrow(
      new RegExp(
        `status 401; the image's credentials are for 127.0.0.1:${origin.port} and were not`,
      ),
    )
    const named = mirror.url.replace('://', '://m:irror@')
    expect((await probe(named)).sizeBytes).toBe(image.length)
  })
})

describe('a password in a url', () => {
  test.each([
    ['p%ss', 'p%ss'],
    ['100%', '100%'],
    ['%zz%40%', '%zz@%'],
    ['p%25ss', 'p%ss'],
    ['p%C3%A4', 'pä'],
  ])('%s stands for %s', async (written, password) => {
    const auth = { user: 'u', password }
    await using origin = await createHttpOrigin({ bytes: image, auth })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const url = origin.url.replace('://', `://u:${written}@`)
    expect((await probeImage(imageOptions(client, [url]), never)).sizeBytes).toBe(image.length)
  })
})

describe('redirects', () => {
  test('keep credentials and range on the same server', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      auth: { user: 'u', password: 'p' },
      redirects: { '/moved': '/image.raw' },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`
    const options = imageOptions(client, [`${origin.baseUrl}/moved`], { authorization })
    expect(await probeImage(options, never)).toMatchObject({
      sizeBytes: image.length,
      acceptsRanges: true,
      url: `${origin.baseUrl}/moved`,
    })
  })

  test('drop credentials on the way to another server', async () => {
    await using target = await createHttpOrigin({ bytes: image })
    await using origin = await createHttpOrigin({
      bytes: image,
      auth: { user: 'u', password: 'p' },
      faults: { redirectTo: target.url },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`
    const disk = createMemoryDisk(image.length)
    await createHttpSource(imageOptions(client, [origin.url], { authorization })).deliver(
      disk.request(),
    )
    expect(sha256(disk.bytes)).toBe(sha256(image))
    expect(origin.requests[0]?.headers.authorization).toBe(authorization)
    expect(target.requests[0]?.headers.authorization).toBeUndefined()
  })

  test('bring cookies back to the server that set them, for one chain', async () => {
    await using other = await createHttpOrigin({ bytes: image })
    await using server = await createRawServer(({ line, headers }, socket) => {
      const isShown = headers['cookie'] === 'a=1; b=2'
      const to = line.startsWith('GET /away') ? other.url : isShown ? '/away' : line.split(' ')[1]
      socket.write(
        `HTTP/1.1 302 Found\r\nSet-Cookie: a=1; Path=/; HttpOnly\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3; Secure\r\nSet-Cookie: d=4; Domain=example.org\r\nLocation: ${to}\r\nContent-Length: 0\r\n\r\n`,
      )
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    for (const _ of [1, 2]) await client.request(server.url)
    const shown = server.requests.map(({ headers }) => headers['cookie'])
    expect(shown).toEqual([undefined, 'a=1; b=2', 'a=1; b=2', undefined, 'a=1; b=2', 'a=1; b=2'])
    // the other has the same host and another port, which is nothing to cookies (RFC 6265 8.5)
    expect(other.requests[0]?.headers.cookie).toBe('a=1; b=2')
  })

  test.each([307, 308])('of status %i take a POST along with its body', async (status) => {
    await using target = await createRawServer((_, socket) =>
      socket.write('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n'),
    )
    await using server = await createRawServer((_, socket) =>
      socket.write(`HTTP/1.1 ${status} x\r\nLocation: ${target.url}\r\nContent-Length: 0\r\n\r\n`),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const body = '{"agent_token": "t"}'
    const answer = await client.request(server.url, { method: 'POST', body })
    expect(answer.status).toBe(202)
    expect(target.requests.map(({ line }) => line)).toEqual(['POST /image.raw HTTP/1.1'])
    expect(target.requests[0]?.body).toBe(body)
  })

  test('take no body in clear to another host', async () => {
    await using target = await createRawServer(() => {}, '127.0.0.2')
    await using server = await createRawServer((_, socket) =>
      socket.write(`HTTP/1.1 308 x\r\nLocation: ${target.url}\r\nContent-Length: 0\r\n\r\n`),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const posting = client.request(server.url, { method: 'POST', body: 'agent_token' })
    await expect(posting).rejects.toThrow(/goes in clear to no other host/)
    expect(target.requests).toHaveLength(0)
  })

  test('of a POST end after ten', async () => {
    await using server = await createRawServer((_, socket) =>
      socket.write('HTTP/1.1 307 x\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n'),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const posting = client.request(server.url, { method: 'POST', body: 'x' })
    await expect(posting).rejects.toThrow(/more than 10 redirects/)
    expect(server.requests).toHaveLength(11)
  })

  test.each([301, 302, 303])('of status %i are the answer of a POST', async (status) => {
    await using server = await createRawServer((_, socket) =>
      socket.write(`HTTP/1.1 ${status} x\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n`),
    )
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const answer = await client.request(server.url, { method: 'POST', body: 'x' })
    expect(answer.status).toBe(status)
  })

  test('end after ten', async () => {
    await using origin = await createHttpOrigin({ bytes: image, faults: { redirectTo: '/again' } })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    await expect(probeImage(imageOptions(client, [origin.url]), never)).rejects.toThrow(
      /more than 10 redirects/,
    )
    expect(origin.requests).toHaveLength(11)
  })

  test('to something that is not HTTP are refused', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      faults: { redirectTo: 'file:///etc/passwd' },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    await expect(probeImage(imageOptions(client, [origin.url]), never)).rejects.toThrow(
      /redirect to file: is not supported/,
    )
  })
})

describe('TLS', () => {
  let authority: TestAuthority
  let folder: string
  let files: { ca: string; otherCa: string; cert: string; key: string }

  beforeAll(async () => {
    authority = await createTestAuthority()
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-tls-'))
    const write = async (name: string, text: string) => {
      await writeFile(join(folder, name), text)
      return join(folder, name)
    }
    files = {
      ca: await write('ca.pem', authority.ca),
      otherCa: await write('other.pem', (await createTestAuthority('another authority')).ca),
      cert: await write('client.pem', authority.client.cert),
      key: await write('client.key', authority.client.key),
    }
  })
  afterAll(() => rm(folder, { recursive: true }))

  async function probeWith(
    config: Partial<HttpClientSettings>,
    server: { clientCa?: string; maxVersion?: 'TLSv1.2'; ciphers?: string } = {},
  ) {
    await using origin = await createHttpOrigin({
      bytes: image,
      tls: { ...authority.server, ...server },
    })
    await using client = createHttpClient({ config: { ...PLAIN_CLIENT, ...config } })
    const disk = createMemoryDisk(image.length)
    await createHttpSource(imageOptions(client, [origin.url], { retries: 1 })).deliver(
      disk.request(),
    )
    return sha256(disk.bytes)
  }

  test('an image server of the authority in cafile is trusted', async () => {
    expect(await probeWith({ cafile: files.ca })).toBe(sha256(image))
  })
  test('one of another authority is not, and is not asked twice', async () => {
    await expect(probeWith({ cafile: files.otherCa })).rejects.toThrow(/1 failure.*TLS failed/)
  })
  test('one that nobody vouches for is not trusted without cafile', async () => {
    await expect(probeWith({})).rejects.toThrow(/TLS failed/)
  })
  test('insecure trusts anyone', async () => {
    expect(await probeWith({ insecure: true })).toBe(sha256(image))
  })
  test('the client certificate is shown to a server that wants one', async () => {
    const config = { cafile: files.ca, certfile: files.cert, keyfile: files.key }
    expect(await probeWith(config, { clientCa: authority.ca })).toBe(sha256(image))
  })
  test('without one such a server refuses', async () => {
    await expect(probeWith({ cafile: files.ca }, { clientCa: authority.ca })).rejects.toMatchObject(
      { type: 'ImageDownloadError' },
    )
  })
  test('a server that has none of tls_cipher_suites is refused', async () => {
    const suite = 'ECDHE-ECDSA-AES128-GCM-SHA256'
    const old = { maxVersion: 'TLSv1.2', ciphers: suite } as const
    const other = { tls_cipher_suites: 'ECDHE-ECDSA-AES256-GCM-SHA384' }
    await expect(probeWith({ cafile: files.ca, ...other }, old)).rejects.toThrow(/TLS failed/)
    const both = { tls_cipher_suites: `${other.tls_cipher_suites}:${suite}` }
    expect(await probeWith({ cafile: files.ca, ...both }, old)).toBe(sha256(image))
    // suites are of TLS 1.2: a server with 1.3 is not kept out
    expect(await probeWith({ cafile: files.ca, ...other })).toBe(sha256(image))
  })
  test('a server below tls_min_version is refused', async () => {
    await expect(
      probeWith({ cafile: files.ca, tls_min_version: '1.3' }, { maxVersion: 'TLSv1.2' }),
    ).rejects.toThrow(/TLS failed/)
    expect(await probeWith({ cafile: files.ca }, { maxVersion: 'TLSv1.2' })).toBe(sha256(image))
  })
  test.each([
    ['is not there', '/nowhere/missing.pem', /cafile: ENOENT/],
    ['has no end', '/dev/zero', /cafile: \/dev\/zero is longer than 16/],
  ])('a cafile that %s fails before any transfer', (_what, cafile, words) => {
    expect(() => createHttpClient({ config: { ...PLAIN_CLIENT, cafile } })).toThrow(words)
  })
})
