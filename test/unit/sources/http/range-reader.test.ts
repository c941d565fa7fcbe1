// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { HttpClient } from '../../../../agent/http/client.ts'
import { createRangeReader } from '../../../../agent/sources/http/range-reader.ts'
import { imageOptions } from '../../../support/http-lab.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const flow = { pause: () => {}, resume: () => {}, stop: () => {} }

test('the origin of a swarm is asked again soon, whatever wait it wishes by Retry-After', async () => {
  let asked = 0
  const client: HttpClient = {
    request: async () => {
      throw new Error('not asked for')
    },
    stream: async (url, _, receiver) => {
      asked++
      if (asked < 3) {
        receiver.onHead({ status: 503, headers: { 'retry-after': '3600' }, url }, flow)
      }
      const headers = { 'content-range': 'bytes 0-3/100', 'content-length': '4' }
      receiver.onHead({ status: 206, headers, url }, flow)
      receiver.onBytes(Uint8Array.of(1, 2, 3, 4))
    },
    [Symbol.asyncDispose]: async () => {},
  }
  const options = imageOptions(client, ['http://origin/x'], { retryIntervalSeconds: 3600 })
  const reader = createRangeReader({ ...options, random: () => 1, totalBytes: 100 })
  const target = new Uint8Array(4)
  const reading = reader.readRange({ offset: 0, length: 4 }, target, new AbortController().signal)
  // two waits at their longest: 0.2 s and 0.4 s
  await vi.advanceTimersByTimeAsync(601)
  await reading
  expect(asked).toBe(3)
  expect([...target]).toEqual([1, 2, 3, 4])
})
