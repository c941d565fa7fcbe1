import { afterEach, expect, test, vi } from 'vitest'
import { createSeedingKeeper, RELEASE_DEADLINE_MS } from '../../../agent/deploy/seeding-keeper.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

afterEach(() => {
  vi.useRealTimers()
})

function keeper() {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  return { keeper: createSeedingKeeper({ log }), lines }
}

function seeding(ended: string[], name: string): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => void ended.push(name) }
}

test('the next seeding ends the one before', async () => {
  const ended: string[] = []
  const { keeper: owner } = keeper()
  await owner.hold(seeding(ended, 'first'))
  await owner.hold(seeding(ended, 'second'))
  expect(ended).toEqual(['first'])
  expect(owner.isSeeding()).toBe(true)
})

test('a seeding is ended once, however often it is released', async () => {
  const ended: string[] = []
  const { keeper: owner } = keeper()
  await owner.hold(seeding(ended, 'only'))
  await Promise.all([owner.release('power off'), owner.release('agent ends')])
  await owner.release('again')
  expect(ended).toEqual(['only'])
  expect(owner.isSeeding()).toBe(false)
})

test('the end of the agent ends it, and the log tells why', async () => {
  const ended: string[] = []
  const { keeper: owner, lines } = keeper()
  await owner.hold(seeding(ended, 'only'))
  await owner.release('agent ends')
  expect(ended).toEqual(['only'])
  expect(lines.join('')).toMatch(/"reason":"agent ends".*seeding ended/)
})

test('one that does not end is left behind with a warning', async () => {
  vi.useFakeTimers()
  const { keeper: owner, lines } = keeper()
  await owner.hold({ [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) })
  const released = owner.release('power off')
  await vi.advanceTimersByTimeAsync(RELEASE_DEADLINE_MS)
  await released
  expect(lines.join('')).toMatch(/"level":"warn".*seeding left behind/)
})

test('one that fails to end is left behind with a warning', async () => {
  const { keeper: owner, lines } = keeper()
  await owner.hold({
    [Symbol.asyncDispose]: async () => {
      throw new Error('worker is gone')
    },
  })
  await owner.release('power off')
  expect(lines.join('')).toMatch(/worker is gone.*seeding left behind/)
})
