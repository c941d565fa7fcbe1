import { expect, test } from 'vitest'
import { createTrackerHealth } from '../../../../../agent/sources/swarm/announce/tracker-health.ts'

function health() {
  const told: string[] = []
  let at = 0
  const tracker = createTrackerHealth(
    () => at,
    (state, words) => told.push(`${state} ${words}`.trim()),
  )
  return {
    told,
    after: (ms: number) => {
      at += ms
      return tracker
    },
  }
}

test('a tracker that has never answered is told of at its first failure, and once', () => {
  const { told, after } = health()
  for (let i = 0; i < 100; i++) after(3000).failed('refused')
  expect(told).toEqual(['failing refused'])
})

test('one that works again is told of, once', () => {
  const { told, after } = health()
  after(0).failed('refused')
  for (let i = 0; i < 100; i++) after(3000).answered()
  expect(told).toEqual(['failing refused', 'answering'])
})

test('one that has answered may miss two answers', () => {
  const { told, after } = health()
  after(0).answered()
  after(3000).failed('late')
  after(3000).failed('late')
  after(3000).answered()
  expect(told).toEqual(['answering'])
  for (let i = 0; i < 3; i++) after(3000).failed('late')
  expect(told).toEqual(['answering', 'failing late'])
})

test('one that comes and goes is news once a minute', () => {
  const { told, after } = health()
  for (let second = 0; second < 600; second++) {
    if (second % 8 < 4) after(1000).failed('late')
    else after(1000).answered()
  }
  expect(told.filter((line) => line.startsWith('failing')).length).toBeLessThanOrEqual(10)
})
