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

test('one that ends by itself is released: nothing says that it serves, and its disk is let go', async () => {
  const disposed: string[] = []
  const { keeper: owner, lines } = keeper()
  const first = Promise.withResolvers<void>()
  await owner.hold({ ...seeding(disposed, 'first'), ended: first.promise })
  first.resolve()
  await expect.poll(() => disposed).toEqual(['first'])
  expect(owner.isSeeding()).toBe(false)
  expect(lines.join('')).toMatch(/time or ratio.*seeding ended/)
})

test('the late end of one seeding is nothing to the next', async () => {
  const disposed: string[] = []
  const { keeper: owner } = keeper()
  const first = Promise.withResolvers<void>()
  await owner.hold({ ...seeding(disposed, 'first'), ended: first.promise })
  await owner.hold(seeding(disposed, 'second'))
  first.resolve()
  await new Promise((resolve) => setImmediate(resolve))
  expect(disposed).toEqual(['first'])
  expect(owner.isSeeding()).toBe(true)
})
