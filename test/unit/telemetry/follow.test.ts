// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { follow } from '../../../agent/telemetry/follow.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

test('a meter keeps up with what somebody else moves; a look that fails, or brings nothing, is passed over', async () => {
  const answers = [async () => 1, () => Promise.reject(new Error('gone')), async () => undefined]
  const reached: number[] = []
  let looks = 0
  const following = follow({ reach: (done) => reached.push(done) }, async () => {
    looks++
    return (await answers.shift()?.()) ?? (looks > 3 ? looks : undefined)
  })
  for (let i = 0; i < 5; i++) await vi.advanceTimersByTimeAsync(1000)
  expect(reached).toEqual([1, 4, 5])
  following[Symbol.dispose]()
  await vi.advanceTimersByTimeAsync(5000)
  expect(reached).toEqual([1, 4, 5])
})

test('a look that takes long is not begun twice, and one that ends late counts no more', async () => {
  const reached: number[] = []
  let looks = 0
  let end: (done: number) => void = () => undefined
  const following = follow({ reach: (done) => reached.push(done) }, () => {
    looks++
    return new Promise((resolve) => {
      end = resolve
    })
  })
  await vi.advanceTimersByTimeAsync(5000)
  expect(looks).toBe(1)
  following[Symbol.dispose]()
  end(7)
  await vi.advanceTimersByTimeAsync(1)
  expect(reached).toEqual([])
})
