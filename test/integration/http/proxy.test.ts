// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient, type HttpClientOptions } from '../../../agent/http/client.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import { createTestAuthority, type TestAuthority } from '../../support/http-certificates.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createTestProxy } from '../../support/http-proxy.ts'

const image = randomBytes(3_000_000)
let authority: TestAuthority
let folder: string
let cafile: string

beforeAll(async () => {
  authority = await createTestAuthority()
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-proxy-'))
  cafile = join(folder, 'ca.pem')
  await writeFile(cafile, authority.ca)
})
afterAll(() => rm(folder, { recursive: true }))

async function deliver(url: string, options: Omit<HttpClientOptions, 'config'>): Promise<string> {
  await using client = createHttpClient({ config: { ...PLAIN_CLIENT, cafile }, ...options })
  const disk = createMemoryDisk(image.length)
  await createHttpSource(imageOptions(client, [url], { retries: 1 })).deliver(disk.request())
  return sha256(disk.bytes)
}

describe('a proxy of image_info', () => {
  test('is asked for http images in absolute form, also when the transfer is resumed', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      faults: { truncateAfterBytes: [1_000_000] },
    })
    await using proxy = await createTestProxy()
    expect(await deliver(origin.url, { proxies: { http: proxy.url } })).toBe(sha256(image))
    expect(proxy.requests).toEqual([`GET ${origin.url}`, `GET ${origin.url}`])
  })

  test('tunnels https images, whose server is verified as without it', async () => {
    await using origin = await createHttpOrigin({ bytes: image, tls: authority.server })
    await using proxy = await createTestProxy()
    expect(await deliver(origin.url, { proxies: { https: proxy.url } })).toBe(sha256(image))
    expect(proxy.requests).toEqual([`CONNECT 127.0.0.1:${origin.port}`])
    const stranger = await createTestAuthority('a stranger')
    await using wrong = await createHttpOrigin({ bytes: image, tls: stranger.server })
    await expect(deliver(wrong.url, { proxies: { https: proxy.url } })).rejects.toThrow(
      /TLS failed/,
    )
  })

  test('may itself speak TLS', async () => {
    await using origin = await createHttpOrigin({ bytes: image, tls: authority.server })
    await using plain = await createHttpOrigin({ bytes: image })
    await using proxy = await createTestProxy({ tls: authority.server })
    const proxies = { http: proxy.url, https: proxy.url }
    expect(await deliver(origin.url, { proxies })).toBe(sha256(image))
    expect(await deliver(plain.url, { proxies })).toBe(sha256(image))
    expect(proxy.requests).toHaveLength(2)
  })

  test('gets the credentials in its url, the image server does not', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using proxy = await createTestProxy({ auth: 'me:secret' })
    const url = proxy.url.replace('://', '://me:secret@')
    expect(await deliver(origin.url, { proxies: { http: url } })).toBe(sha256(image))
    expect(JSON.stringify(origin.requests[0]?.headers)).not.toContain('authorization')
  })

  test.each([['p%ss'], ['100%']])('may have the password %s, as it stands', async (password) => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using secure = await createHttpOrigin({ bytes: image, tls: authority.server })
    await using proxy = await createTestProxy({ auth: `me:${password}` })
    const url = proxy.url.replace('://', `://me:${password}@`)
    const proxies = { http: url, https: url }
    expect(await deliver(origin.url, { proxies })).toBe(sha256(image))
    expect(await deliver(secure.url, { proxies })).toBe(sha256(image))
  })

  test('that refuses is named without its password', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using secure = await createHttpOrigin({ bytes: image, tls: authority.server })
    await using proxy = await createTestProxy({ auth: 'me:right' })
    const url = proxy.url.replace('://', '://me:wrong@')
    for (const target of [origin, secure]) {
      const error = await deliver(target.url, { proxies: { http: url, https: url } }).catch(
        (thrown: Error) => thrown,
      )
      expect(error).toMatchObject({ type: 'ImageDownloadError' })
      expect((error as Error).message).toMatch(/407/)
      expect((error as Error).message).not.toContain('wrong')
    }
    expect(origin.requests).toHaveLength(0)
  })

  test('is passed by for hosts in no_proxy', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using proxy = await createTestProxy()
    const options = { proxies: { http: proxy.url }, noProxy: 'example.org, 127.0.0.0/8' }
    expect(await deliver(origin.url, options)).toBe(sha256(image))
    expect(proxy.requests).toHaveLength(0)
  })

  test('of https is not asked for http', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using proxy = await createTestProxy()
    expect(await deliver(origin.url, { proxies: { https: proxy.url } })).toBe(sha256(image))
    expect(proxy.requests).toHaveLength(0)
  })

  test('that is down is a connection error with its own retries', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    const proxy = await createTestProxy()
    await proxy[Symbol.asyncDispose]()
    await expect(deliver(origin.url, { proxies: { http: proxy.url } })).rejects.toThrow(
      /2 failures.*ECONNREFUSED/,
    )
  })
})
