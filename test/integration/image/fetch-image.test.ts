// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { downloadDeadline } from '../../../agent/image/request/download-deadline.ts'
import { fetchImage } from '../../../agent/image/transfer/fetch-image.ts'
import { meter } from '../../../agent/image/transfer/meter.ts'
import { createHttpSource } from '../../../agent/sources/http/http-source.ts'
import {
  createMemoryDisk,
  imageOptions,
  PLAIN_CLIENT,
  randomBytes,
  sha256,
} from '../../support/http-lab.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'

const image = randomBytes(20_000_001)

/** Fetches the image by the HTTP source, under a deadline. */
async function fetchWithin(seconds: number, faults: HttpOriginFaults) {
  await using origin = await createHttpOrigin({ bytes: image, faults })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  const disk = createMemoryDisk(image.length)
  const { coverage } = disk
  const request = disk.request()
  const metered = meter(request.sink, {
    coverage,
    onCovered: () => {},
    onWithdrawn: () => undefined,
    onRewrite: () => {},
  })
  const options = imageOptions(client, [origin.url])
  using deadline = downloadDeadline(seconds, coverage)
  const error = await fetchImage({
    planned: [{ name: 'http', urls: options.urls }],
    create: () => createHttpSource(options),
    request: { ...request, sink: metered, signal: deadline.signal },
    metered,
    onSource: () => {},
    events: { publish: () => {} },
  }).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  )
  return { disk, error }
}

test('a fetch ends with 408 when image_download_max_duration is over, and says how far it came', async () => {
  const { disk, error } = await fetchWithin(0.3, { rateBytesPerSecond: 2_000_000 })
  expect(error).toMatchObject({ type: 'ImageDownloadTimeoutError', status: 408 })
  expect(error?.message).toMatch(/^.*: \d+ bytes of an image of 20000001 bytes came in 0.3 s/)
  expect(error?.message).toContain('image_download_max_duration')
  expect(disk.coverage.isComplete).toBe(false)
})

test('a fetch without image_download_max_duration has no deadline', async () => {
  const { disk, error } = await fetchWithin(0, {})
  expect(error).toBeUndefined()
  expect(sha256(disk.bytes)).toBe(sha256(image))
})
