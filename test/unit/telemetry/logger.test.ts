import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import { createLogger, type LogLevel } from '../../../agent/telemetry/logger.ts'
import { secretsOf } from '../../support/secrets.ts'

function capture(level: LogLevel = 'trace') {
  const lines: string[] = []
  const log = createLogger({ level, destination: { write: (line) => lines.push(line) } })
  return { log, lines, last: () => JSON.parse(lines.at(-1) as string) }
}

/** Every call between agent and conductor as recorded, where the lab has put copies. */
function recordedCalls(): { name: string; call: Record<string, unknown> }[] {
  const folder = 'test/fixtures/traces'
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) =>
      readFileSync(`${folder}/${name}`, 'utf8')
        .trim()
        .split('\n')
        .map((line) => ({ name, call: JSON.parse(line) })),
    )
}

describe('createLogger', () => {
  test('writes one JSON object per line with level, time and constant message', () => {
    const { log, lines, last } = capture()
    log.info({ device: '/dev/sda', bytes: 5 }, 'piece verified')
    expect(lines).toHaveLength(1)
    expect(last()).toMatchObject({
      level: 'info',
      msg: 'piece verified',
      device: '/dev/sda',
      bytes: 5,
    })
    expect(Number.isNaN(Date.parse(last().time))).toBe(false)
  })

  test('leaves out what is below its level', () => {
    const { log, lines } = capture('info')
    log.debug('no')
    expect(lines).toEqual([])
  })

  test('strikes out every secret of the recorded calls of a real conductor', () => {
    const calls = recordedCalls()
    const secrets = new Set(calls.flatMap(({ call }) => secretsOf(call)))
    expect(secrets.size).toBeGreaterThan(5)
    for (const { call } of calls) {
      const { log, lines } = capture()
      log.info({ call }, 'request')
      log.child({ call }).info('request')
      log.info(call, 'request')
      log.info(`${call['method']} ${call['path']}`)
      const text = lines.join('')
      expect([...secrets].filter((secret) => text.includes(secret))).toEqual([])
    }
  })

  test.each([
    ['rescue_password', { params: { rescue_password: 's3cret', hashed: false } }],
    ['Authorization', { headers: { Authorization: 'Basic s3cret' } }],
    ['image_server_password', { image_info: { image_server_password: 's3cret' } }],
    ['temporary URL', { urls: ['https://swift/x?temp_url_sig=s3cret&temp_url_expires=1'] }],
    ['user info', { url: 'http://user:s3cret@host/x' }],
    [
      'passkey of a tracker',
      { message: 'no answer from https://t.example/s3cret0123456789abcdef/announce' },
    ],
    ['kernel line', { cmdline: 'ro ipa-agent-token=s3cret quiet' }],
    ['token of the query', { url: '/v1/commands/?wait=true&agent_token=s3cret' }],
    ['error', { err: new Error('GET http://h/?agent_token=s3cret failed') }],
    [
      'cause of an error',
      { err: new Error('x', { cause: new Error('http://u:s3cret@h/ refused') }) },
    ],
  ])('strikes out %s in fields, children and messages', (_name, fields) => {
    const { log, lines } = capture()
    log.info(fields, 'x')
    log.child(fields).child({ more: 1 }).warn('x')
    log.child({ nested: fields }).warn({ nested: fields }, 'x')
    expect(lines.join('')).not.toContain('s3cret')
    expect(lines.join('')).toContain('***')
  })

  test('tells type, code and causes of an error, and the stack of a foreign one only', () => {
    const { log, last } = capture()
    const cause = Object.assign(new Error('reset'), { code: 'ECONNRESET' })
    log.error({ err: new AgentError('ImageDownloadError', 'at byte 5', { cause }) }, 'x')
    expect(last().err).toMatchObject({
      type: 'ImageDownloadError',
      message: 'Error downloading image: at byte 5',
      kind: 'source',
      cause: { type: 'Error', message: 'reset', code: 'ECONNRESET' },
    })
    expect(last().err.stack).toBeUndefined()
    expect(last().err.cause.stack).toContain('logger.test')
  })

  test('spells no bytes out', () => {
    const { log, last } = capture()
    log.info({ data: new Uint8Array(4096) }, 'x')
    expect(last().data).toBe('<4096 bytes>')
  })

  test('survives a circle of causes and of fields', () => {
    const { log, last } = capture()
    const error = new Error('round')
    error.cause = error
    const fields: Record<string, unknown> = { err: error }
    fields['self'] = fields
    log.error(fields, 'x')
    expect(last().err.message).toBe('round')
  })
})
