import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBodyReader } from '../../../agent/api/request-body.ts'
import { async_, sync } from '../../support/agent-in-process.ts'
import { POST, startServer, TOKEN } from './server-lab.ts'

const KiB = 1024
const MiB = 1024 * KiB

/** The body in chunks of these sizes, over and over. */
function read(json: string, sizes: readonly number[] = [64 * KiB], onLongText = () => {}): unknown {
  const reader = createBodyReader(onLongText)
  const bytes = Buffer.from(json)
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] as number
    // a socket's buffer is used again
    const chunk = Buffer.from(bytes.subarray(at, at + size))
    reader.write(chunk)
    chunk.fill(0x22)
    at += size
  }
  return reader.end()
}

const letters = (length: number, seed = 1) =>
  Buffer.alloc(length, `${seed}:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/`).toString()

describe('the body of a request', () => {
  test('is what JSON.parse says, whatever it is and however it comes', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (value, sizes) => {
          const json = JSON.stringify(value)
          expect(read(json, sizes)).toEqual(JSON.parse(json))
        },
      ),
    )
  })

  test('is so with long texts in it, escapes at every place', () => {
    const parts = ['\n', '\\', '"', '/', '\u0000', 'a', '\\"', '\\\\', '\t\r']
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...parts), { minLength: 1, maxLength: 200 }),
        fc.array(fc.integer({ min: 2000, max: 9000 }), { minLength: 1 }),
        (some, sizes) => {
          const text = some.join('').repeat(Math.ceil((300 * KiB) / some.join('').length))
          const value = { a: text, b: [text, { c: `${text}x` }], d: text.slice(0, 100) }
          expect(read(JSON.stringify(value), sizes)).toEqual(value)
        },
      ),
      { numRuns: 3 },
    )
  })

  test.each([
    ['escaped letters', '\\u0041', 'A'],
    ['escaped slashes', '\\/', '/'],
    ['line ends', '\\n', '\n'],
  ])('has %s of long texts as they are meant', (_what, escaped, meant) => {
    const json = `{"a":"${escaped.repeat(100 * KiB)}"}`
    expect(read(json, [1, 7, 4000])).toEqual({ a: meant.repeat(100 * KiB) })
  })

  test('tells apart long texts that differ late', () => {
    const text = letters(MiB)
    const other = `${text.slice(0, -1)}!`
    const values = [text, other, text, other, text.slice(0, 400 * KiB), `${text}more`]
    expect(read(JSON.stringify(values))).toEqual(values)
    const drives = values.map((configdrive) => ({ configdrive }))
    const parsed = read(JSON.stringify(drives)) as { configdrive: Buffer }[]
    expect(parsed.map(({ configdrive }) => configdrive.toString())).toEqual(values)
  })

  test('holds a config drive once, as bytes, however often it comes', () => {
    const configdrive = letters(2 * MiB)
    const json = JSON.stringify({ a: { configdrive }, configdrive, b: [{ configdrive }] })
    const parsed = read(json) as {
      a: { configdrive: Buffer }
      configdrive: Buffer
      b: { configdrive: Buffer }[]
    }
    expect(parsed.configdrive.toString()).toBe(configdrive)
    expect(parsed.a.configdrive).toBe(parsed.configdrive)
    expect(parsed.b[0]?.configdrive).toBe(parsed.configdrive)
  })

  test.each([
    ['no end', `{"a":"${letters(MiB)}`],
    ['an escape that is none', `{"a":"${letters(MiB)}\\x"}`],
    ['half an escape', `{"a":"${letters(MiB)}\\u00"}`],
    ['a text that is not ASCII', `{"a":"${letters(MiB)}é"}`],
    ['a comma too many', `{"a":"${letters(MiB)}",}`],
    ['lists in lists, of which a parser would make half a GiB', '['.repeat(6 * MiB)],
    ['more levels than anybody needs', `${'{"a":['.repeat(51)}${']}'.repeat(51)}`],
    ['nothing', ''],
  ])('with %s is no JSON', (_what, json) => {
    expect(() => read(json)).toThrow(SyntaxError)
  })

  test('may be deep, and long beside it', () => {
    const json = `${'[{"a]":'.repeat(50)}"[[["${'}]'.repeat(50)}`
    const beside = `[${Array(200).fill('[{}]').join()}]`
    for (const text of [json, beside]) expect(read(text, [7])).toEqual(JSON.parse(text))
  })

  test.each([
    [
      'texts of 9 MiB that are no config drive',
      () => [JSON.stringify(Array(3).fill(letters(3 * MiB)))],
    ],
    ['a text of 97 MiB', () => [`{"a":"`, ...Array(97).fill(letters(MiB))]],
    ['9 MiB of short texts', () => ['[', ...Array(9).fill(`"${letters(1000)}",`.repeat(1050))]],
    ['9 MiB of blanks', () => Array(9).fill(' '.repeat(MiB))],
  ])('with %s is too large', (_what, parts) => {
    const reader = createBodyReader(() => undefined)
    expect(() => {
      for (const part of parts()) reader.write(Buffer.from(part as string))
      reader.end()
    }).toThrow(expect.objectContaining({ statusCode: 413 }))
  })

  test('cannot name a long text without having it', () => {
    const json = JSON.stringify([letters(MiB), '0', '00000000-0000-4000-8000-0000000000000'])
    expect(read(json)).toEqual(JSON.parse(json))
  })
})

describe('a POST with a long text', () => {
  const body = (name: string) =>
    JSON.stringify({ name, params: { a: letters(MiB), b: letters(MiB) } })

  test('brings it to the command as it was sent', async () => {
    const seen: unknown[] = []
    const echo = sync((params) => void seen.push(params))
    await using api = await startServer({}, '127.0.0.1', { 'log.echo': echo })
    expect((await api.call('POST', POST, body('log.echo'))).status).toBe(200)
    expect(seen).toEqual([{ a: letters(MiB), b: letters(MiB) }])
  })

  test('is busy while a command runs, which may hold one itself; a short one is told the same', async () => {
    await using api = await startServer()
    await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    for (const text of [body('standby.text'), '{"name":"standby.text","params":{}}']) {
      const answer = await api.call('POST', POST, text)
      expect(answer.status).toBe(409)
      expect(answer.json['faultstring']).toBe('Agent is busy: executing command gated')
    }
  })

  test('is busy while another is dealt with, and taken after it', async () => {
    const gate = Promise.withResolvers<void>()
    const began = Promise.withResolvers<void>()
    const slow = sync(() => {
      began.resolve()
      return gate.promise
    })
    const commands = { 'log.slow': slow, 'log.done': async_(() => 'x') }
    await using api = await startServer({}, '127.0.0.1', commands)
    const first = api.call('POST', POST, body('log.slow'))
    await began.promise
    expect((await api.call('POST', POST, body('log.done'))).status).toBe(409)
    gate.resolve()
    expect((await first).status).toBe(200)
    expect((await api.call('POST', POST, body('log.done'))).status).toBe(200)
  })

  test('that is broken, or goes away half-way, leaves room for the next', async () => {
    await using api = await startServer({}, '127.0.0.1', { 'log.done': sync(() => 'x') })
    const wrong = [`${body('log.done')}}`, body('log.done').replace('AB', '\\x'), '['.repeat(1000)]
    for (const text of wrong) {
      const broken = await api.call('POST', POST, text)
      expect(broken.json['faultstring']).toMatch(/^400 Bad Request: Failed to decode JSON object: /)
    }
    const large = JSON.stringify({ name: 'log.done', params: Array(3).fill(letters(3 * MiB)) })
    expect((await api.call('POST', POST, large)).status).toBe(413)
    expect((await api.call('POST', POST, body('log.done'))).status).toBe(200)
  })
})
