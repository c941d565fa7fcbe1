// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { fetchSmall } from '../../../agent/sources/http/fetch-small.ts'
import { probeImage } from '../../../agent/sources/http/probe.ts'
import { imageOptions, PLAIN_CLIENT, randomBytes } from '../../support/http-lab.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'

const image = randomBytes(2_000_000)
const never = new AbortController().signal

describe('fetching something small', () => {
  async function fetchFrom(path: string, faults: HttpOriginFaults = {}, maxBytes = 1000) {
    await using origin = await createHttpOrigin({
      bytes: image,
      files: { '/image.sha256': 'ab cd\n' },
      faults,
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const options = imageOptions(client, [])
    const url = `${origin.baseUrl}${path}`
    const bytes = await fetchSmall({ ...options, url, maxBytes }, never)
    return { text: new TextDecoder().decode(bytes), requests: origin.requests }
  }

  test('brings the whole body', async () => {
    expect((await fetchFrom('/image.sha256')).text).toBe('ab cd\n')
  })
  test('is tried again on a server error', async () => {
    const { text, requests } = await fetchFrom('/image.sha256', { statuses: [500, 503] })
    expect(text).toBe('ab cd\n')
    expect(requests).toHaveLength(3)
  })
  test('is refused as soon as it is too long, and not tried again', async () => {
    await using origin = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const options = imageOptions(client, [])
    await expect(
      fetchSmall({ ...options, url: origin.url, maxBytes: 1000 }, never),
    ).rejects.toThrow(/longer than 1000 bytes/)
    expect(origin.requests).toHaveLength(1)
  })
  test('has a deadline also when bytes trickle', async () => {
    await using origin = await createHttpOrigin({
      bytes: image,
      faults: { stallAfterBytes: [10, 10] },
    })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const options = imageOptions(client, [], { timeoutSeconds: 1, retries: 1 })
    await expect(
      fetchSmall({ ...options, url: origin.url, maxBytes: 3_000_000 }, never),
    ).rejects.toThrow(/2 failures.*no answer within 3 s/)
  })
  test('names the status when it is missing', async () => {
    await expect(fetchFrom('/image.sha256', { status: 404 })).rejects.toThrow(/status 404/)
  })
})

describe('probing an image', () => {
  async function probe(faults: HttpOriginFaults) {
    await using origin = await createHttpOrigin({ bytes: image, faults })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const result = await probeImage(imageOptions(client, [origin.url]), never)
    return { result, bytesSent: origin.bytesSent }
  }

  test('tells size and ranges for one byte', async () => {
    const { result, bytesSent } = await probe({})
    expect(result).toMatchObject({ sizeBytes: 2_000_000, acceptsRanges: true })
    expect(bytesSent).toBe(1)
  })
  test('tells the size also of a server that ignores Range, and stops its body', async () => {
    const { result } = await probe({ ignoreRange: true })
    expect(result).toMatchObject({ sizeBytes: 2_000_000, acceptsRanges: false })
  })
  test('says so when the server tells no size', async () => {
    const { result } = await probe({ ignoreRange: true, chunked: true })
    expect(result.sizeBytes).toBeNull()
  })
  test('fails over to the url that has the image', async () => {
    await using missing = await createHttpOrigin({ bytes: image, faults: { status: 404 } })
    await using origin = await createHttpOrigin({ bytes: image })
    await using client = createHttpClient({ config: PLAIN_CLIENT })
    const result = await probeImage(imageOptions(client, [missing.url, origin.url]), never)
    expect(result.url).toBe(origin.url)
  })
})
