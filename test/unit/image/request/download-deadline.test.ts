// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { downloadDeadline } from '../../../../agent/image/request/download-deadline.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const DAY_S = 24 * 3600

describe('the clock of a download', () => {
  test('aborts with how far the image came', async () => {
    using deadline = downloadDeadline(60)
    deadline.watch({ coveredBytes: 7, totalBytes: 10 })
    await vi.advanceTimersByTimeAsync(59_999)
    expect(deadline.signal.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(deadline.signal.reason).toMatchObject({
      type: 'ImageDownloadTimeoutError',
      details: expect.stringContaining('7 bytes of an image of 10 bytes came in 60 s'),
    })
  })

  test.each([0, 30 * DAY_S])('of %d s does not abort within a day', async (seconds) => {
    using deadline = downloadDeadline(seconds)
    await vi.advanceTimersByTimeAsync(DAY_S * 1000)
    expect(deadline.signal.aborted).toBe(false)
  })

  test('leaves no timer behind', () => {
    downloadDeadline(60)[Symbol.dispose]()
    expect(vi.getTimerCount()).toBe(0)
  })
})
