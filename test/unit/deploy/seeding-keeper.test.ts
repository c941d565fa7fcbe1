import { expect, test } from 'vitest'
import { createSeedingKeeper } from '../../../agent/deploy/seeding-keeper.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

function keeper(deadlineMs = 5000) {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  return { keeper: createSeedingKeeper({ log, deadlineMs }), lines }
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

test('the end of the agent ends it', async () => {
  const ended: string[] = []
  {
    await using owner = keeper().keeper
    await owner.hold(seeding(ended, 'only'))
  }
  expect(ended).toEqual(['only'])
})

test('one that does not end is left behind with a warning', async () => {
  const { keeper: owner, lines } = keeper(1)
  await owner.hold({ [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) })
  await owner.release('power off')
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
