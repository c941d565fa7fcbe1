// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { HttpFailure } from '../../../../agent/http/failure.ts'
import { BadAnswer } from '../../../../agent/sources/http/answer.ts'
import { createDownloadUrls } from '../../../../agent/sources/http/download-urls.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'

const never = new AbortController().signal
const reset = new HttpFailure('reset', 'the connection broke')
const missing = new BadAnswer('status 404', 'source', 404)

function rotationOf(urls: string[], retries = 2) {
  return createDownloadUrls({
    urls,
    config: {
      image_download_connection_timeout: 1,
      image_download_connection_retries: retries,
      image_download_connection_retry_interval: 0.001,
      image_download_low_speed_limit: 0,
      image_download_low_speed_time: 0,
    },
    random: () => 0,
    log: createLogger({ level: 'silent' }),
  })
}

/** Asks until nothing is left, all failing with `error`. */
async function order(rotation: ReturnType<typeof rotationOf>, error: unknown): Promise<string[]> {
  const asked: string[] = []
  for (;;) {
    try {
      const url = await rotation.next(never)
      asked.push(url.url)
      rotation.failed(url, error)
    } catch {
      return asked
    }
  }
}

test('urls are asked in order and take turns, each with its own retries', async () => {
  expect(await order(rotationOf(['a', 'b']), reset)).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
})
test('a url named twice is one url', async () => {
  expect(await order(rotationOf(['a', 'a']), reset)).toEqual(['a', 'a', 'a'])
})
test('a url that cannot help is asked once', async () => {
  expect(await order(rotationOf(['a', 'b']), missing)).toEqual(['a', 'b'])
})
test('progress gives the retries back', async () => {
  const rotation = rotationOf(['a'], 1)
  for (let round = 0; round < 5; round++) {
    const url = await rotation.next(never)
    rotation.progressed(url)
    rotation.failed(url, reset)
  }
  rotation.failed(await rotation.next(never), reset)
  await expect(rotation.next(never)).rejects.toThrow(/a \(2 failures, last: the connection broke\)/)
})
test('what no url can help against is thrown', async () => {
  const rotation = rotationOf(['a', 'b'])
  const fatal = new BadAnswer('status 401', 'fatal', 401)
  const url = await rotation.next(never)
  expect(() => rotation.failed(url, fatal)).toThrow(fatal)
  expect(() => rotation.failed(url, new TypeError('a defect'))).toThrow(/a defect/)
})
test('no url at all is an error that says so', async () => {
  await expect(rotationOf([]).next(never)).rejects.toThrow(/names no http url/)
})
