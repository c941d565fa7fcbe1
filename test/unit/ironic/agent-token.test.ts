import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { temporaryDirectory } from '../../support/agent-in-process.ts'

const TOKEN = 'yMKhX_V58h6NirO6xuMiEdkzZs_zEafJYVBbobDwLQs'
const OTHER = 'H78IXC9Eo9Ds8qaSJnhD_HTvR2xaOWc3pAWq673tzDA'

describe('a token from the lookup', () => {
  test('of 32 characters or more is adopted and survives the process', async () => {
    await using directory = await temporaryDirectory()
    const runDir = join(directory.path, 'run')
    expect(createTokenKeeper({ runDir }).accept(TOKEN)).toBe('issued')
    const next = createTokenKeeper({ runDir })
    expect(next.accept('******')).toBe('kept')
    expect(next.current()).toBe(TOKEN)
    expect(statSync(runDir).mode & 0o777).toBe(0o700)
    expect(statSync(join(runDir, 'agent-token')).mode & 0o777).toBe(0o600)
    expect(readdirSync(runDir)).toEqual(['agent-token'])
  })

  test.each<[unknown, string]>([
    ['******', 'missing'],
    ...[null, undefined, 'short', 7, '', '*****', TOKEN.slice(0, 31), [TOKEN]].map(
      (answer): [unknown, string] => [answer, 'absent'],
    ),
  ])(
    'that is %j leaves an agent without one with nothing to serve: %s',
    async (answer, outcome) => {
      await using directory = await temporaryDirectory()
      const tokens = createTokenKeeper({ runDir: directory.path })
      expect(tokens.accept(answer)).toBe(outcome)
      expect(tokens.current()).toBeUndefined()
      expect(tokens.verify(answer)).toBe(false)
    },
  )

  test('masked keeps the embedded one: the way of virtual media', async () => {
    await using directory = await temporaryDirectory()
    const tokens = createTokenKeeper({ runDir: directory.path, embedded: TOKEN })
    expect(tokens.accept('******')).toBe('kept')
    expect(tokens.verify(TOKEN)).toBe(true)
  })

  test.each([null, 'short'])('that is %j leaves the one we have alone', async (answer) => {
    await using directory = await temporaryDirectory()
    const tokens = createTokenKeeper({ runDir: directory.path, embedded: TOKEN })
    expect(tokens.accept(answer)).toBe('kept')
    expect(tokens.current()).toBe(TOKEN)
  })

  test('handed out anew means a new boot: the results of the one before are dropped', async () => {
    await using directory = await temporaryDirectory()
    const commands = join(directory.path, 'commands.json')
    createTokenKeeper({ runDir: directory.path }).accept(TOKEN)
    writeFileSync(commands, '[]')
    const next = createTokenKeeper({ runDir: directory.path })
    expect(next.accept('******')).toBe('kept')
    expect(existsSync(commands)).toBe(true)
    expect(next.accept(OTHER)).toBe('issued')
    expect(existsSync(commands)).toBe(false)
    expect(createTokenKeeper({ runDir: directory.path }).current()).toBe(OTHER)
  })

  test('makes an open run directory private', async () => {
    await using directory = await temporaryDirectory()
    const runDir = join(directory.path, 'open')
    mkdirSync(runDir, { mode: 0o755 })
    createTokenKeeper({ runDir }).accept(TOKEN)
    expect(statSync(runDir).mode & 0o777).toBe(0o700)
  })
})

describe('verify()', () => {
  test('is true for the token alone', async () => {
    await using directory = await temporaryDirectory()
    const tokens = createTokenKeeper({ runDir: directory.path })
    tokens.accept(TOKEN)
    expect(tokens.verify(TOKEN)).toBe(true)
    for (const wrong of ['', `${TOKEN} `, TOKEN.slice(1), TOKEN.toLowerCase(), [TOKEN], null]) {
      expect(tokens.verify(wrong)).toBe(false)
    }
    fc.assert(fc.property(fc.string(), (text) => tokens.verify(text) === (text === TOKEN)))
  })
})
