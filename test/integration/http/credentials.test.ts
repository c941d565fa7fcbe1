// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient, type HttpClientSettings } from '../../../agent/http/client.ts'
import { authorizationOf } from '../../../agent/sources/http/authorization.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { probeImage } from '../../../agent/sources/http/probe.ts'
import { createTestAuthority, type TestAuthority } from '../../support/http-certificates.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'

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
    server: { clientCa?: string; maxVersion?: 'TLSv1.2' } = {},
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
  test('a server below tls_min_version is refused', async () => {
    await expect(
      probeWith({ cafile: files.ca, tls_min_version: '1.3' }, { maxVersion: 'TLSv1.2' }),
    ).rejects.toThrow(/TLS failed/)
    expect(await probeWith({ cafile: files.ca }, { maxVersion: 'TLSv1.2' })).toBe(sha256(image))
  })
  test('a cafile that cannot be read fails before any transfer', () => {
    const config = { ...PLAIN_CLIENT, cafile: join(folder, 'missing.pem') }
    expect(() => createHttpClient({ config })).toThrow(/cafile: ENOENT/)
  })
})
