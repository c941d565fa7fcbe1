// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { AgentError } from '../../../../agent/core/errors.ts'
import { HttpFailure } from '../../../../agent/http/failure.ts'
import { BadAnswer } from '../../../../agent/sources/http/answer.ts'
import {
  createUrlRotation,
  type ImageUrl,
  type UrlPatience,
} from '../../../../agent/sources/http/url-rotation.ts'

const never = new AbortController().signal
const reset = new HttpFailure('reset', 'the connection broke')
const missing = new BadAnswer('status 404', 'source', 404)

function rotationOf(urls: string[], patience: Partial<UrlPatience> = {}) {
  const told: [string, string, boolean][] = []
  const rotation = createUrlRotation({
    urls,
    patience: {
      retries: 2,
      firstWaitMs: 0,
      longestWaitMs: 0,
      longestWishMs: 0,
      strikes: 3,
      ...patience,
    },
    random: () => 0,
    isHopeless: (error) => error instanceof TypeError,
    onFailed: ({ url, reason, isOut }) => told.push([url, reason, isOut]),
    exhausted: (all) => new Error(`none of ${all.map(({ url }) => url).join()}`),
  })
  return { rotation, told }
}

/** The url that would be asked now; its wait is not waited for. */
function waits(rotation: ReturnType<typeof rotationOf>['rotation']): Promise<boolean> {
  const aborted = AbortSignal.abort(new Error('waiting'))
  return rotation.next(aborted).then(
    () => false,
    () => true,
  )
}

test('the first in order of those that failed least is asked', () => {
  const { rotation } = rotationOf(['a', 'b', 'c'])
  rotation.failed(rotation.best(), reset)
  expect(rotation.best().url).toBe('b')
  rotation.failed(rotation.best(), reset)
  rotation.failed(rotation.best(), reset)
  expect(rotation.best().url).toBe('a')
})

test('a url that failed is waited for until it makes progress, a fresh one is not', async () => {
  const { rotation } = rotationOf(['a'], { firstWaitMs: 1000, longestWaitMs: 1000 })
  const url = rotation.best()
  expect(await waits(rotation)).toBe(false)
  rotation.failed(url, reset)
  expect([await waits(rotation), await waits(rotation)]).toEqual([true, true])
  rotation.progressed(url)
  expect(await waits(rotation)).toBe(false)
})

test('what a server wishes is waited for as far as it may wish', async () => {
  const { rotation } = rotationOf(['a'], { longestWishMs: 86_400_000 })
  rotation.failed(rotation.best(), new BadAnswer('status 503', 'transient', 503, 86_400_000))
  const soon = AbortSignal.timeout(20)
  await expect(rotation.next(soon)).rejects.toMatchObject({ name: 'TimeoutError' })
})

test('no wait is longer than the longest, whatever the server wishes', async () => {
  const { rotation } = rotationOf(['a'], { firstWaitMs: 500, longestWaitMs: 1 })
  rotation.failed(rotation.best(), new BadAnswer('status 503', 'transient', 503, 86_400_000))
  expect((await rotation.next(never)).url).toBe('a')
})

test('without a limit on retries only what is no use rules a url out', () => {
  const { rotation, told } = rotationOf(['a'], { retries: Number.POSITIVE_INFINITY })
  for (let failure = 0; failure < 1000; failure++) rotation.failed(rotation.best(), reset)
  expect(rotation.best().failures).toBe(1000)
  rotation.failed(rotation.best(), missing)
  expect(told.at(-1)).toEqual(['a', 'status 404', true])
  expect(() => rotation.best()).toThrow('none of a')
})

test('a url is out at its last strike, and progress takes no strike back', () => {
  const { rotation, told } = rotationOf(['a', 'b'])
  const first = rotation.best()
  for (let strike = 0; strike < 2; strike++) {
    rotation.struck(first)
    rotation.progressed(first)
  }
  expect([rotation.best(), told]).toEqual([first, []])
  rotation.struck(first)
  expect(rotation.best().url).toBe('b')
  expect(told).toEqual([['a', '3 pieces from it failed their hash; it serves another image', true]])
})

test('of several requests under way the first that rules a url out says why', () => {
  const { rotation, told } = rotationOf(['a'])
  const url: ImageUrl = rotation.best()
  rotation.failed(url, missing)
  rotation.failed(url, reset)
  rotation.struck(url)
  expect(told).toEqual([['a', 'status 404', true]])
  expect(url.reason).toBe('status 404')
})

test('what is hopeless is thrown and held against no url', () => {
  const { rotation, told } = rotationOf(['a'])
  const defect = new TypeError('a defect')
  expect(() => rotation.failed(rotation.best(), defect)).toThrow(defect)
  expect([rotation.best().failures, told]).toEqual([0, []])
})

test('an error of the agent that is transient uses up a retry, another rules the url out', () => {
  const { rotation, told } = rotationOf(['a', 'b'])
  rotation.failed(rotation.best(), new AgentError('ImageDownloadError', 'x', { kind: 'transient' }))
  rotation.failed(rotation.best(), new AgentError('ImageDownloadError', 'y', { kind: 'operator' }))
  expect(told).toEqual([
    ['a', 'x', false],
    ['b', 'y', true],
  ])
})
