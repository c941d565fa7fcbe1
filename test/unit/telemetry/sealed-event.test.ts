import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/core/errors.ts'
import type { AgentEvent, NewEvent } from '../../../agent/core/events.ts'
import { warn } from '../../../agent/telemetry/operation.ts'
import { MAX_EVENT_CHARS, sealEvent } from '../../../agent/telemetry/sealed-event.ts'
import { newEvents, recordedStream } from '../../support/event-lab.ts'
import { secretsOf } from '../../support/secrets.ts'

const operationWith = (fields: Record<string, unknown>): AgentEvent => ({
  type: 'operation',
  operation: 'write image',
  state: 'began',
  fields,
  id: 1,
  at: 2,
})

/** Every call between agent and conductor as recorded, where the lab has put copies. */
function recordedCalls(): Record<string, unknown>[] {
  const folder = 'test/fixtures/traces'
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(`${folder}/${name}`, 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line))
}

describe('secrets', () => {
  test('of the recorded calls of a real conductor reach no subscriber, replay or snapshot', () => {
    const calls = recordedCalls()
    const secrets = new Set(calls.flatMap((call) => secretsOf(call)))
    expect(secrets.size).toBeGreaterThan(5)
    const stream = recordedStream()
    for (const fields of calls) {
      stream.publish({ type: 'operation', state: 'began', fields })
      const details = `cannot fetch ${JSON.stringify(fields['path'] ?? '')}`
      warn(stream, 'no', fields, new AgentError('ImageDownloadError', details))
    }
    const all = JSON.stringify([stream.seen, stream.since(0), stream.snapshot()])
    expect(all.length).toBeGreaterThan(1000)
    for (const secret of secrets) expect(all).not.toContain(secret)
  })

  test('of urls are struck out of errors and their causes, in every form an event has of them', () => {
    const url = 'https://glance/v1/image?temp_url_sig=5ec2e7'
    const cause = new Error(`GET ${url} gave 403`)
    const stream = recordedStream()
    warn(
      stream,
      'source gives up',
      { url: `https://user:passw0rd@glance/?sig=5ec2e7` },
      new AgentError('ImageDownloadError', `${url} gave 403`, { cause }),
    )
    const text = JSON.stringify(stream.seen)
    expect(text).toContain('gave 403')
    expect(text).not.toMatch(/5ec2e7|passw0rd/)
  })

  test('are not cut in two where a long text is cut, so that no half of one is left', () => {
    const secret = 'S'.repeat(10_000)
    const texts = [`GET http://h/i?token=${secret} failed`, `agent_token=${secret}`]
    const { event } = sealEvent(operationWith({ texts }))
    expect(JSON.stringify(event)).toContain('GET http://h/i?token=*** failed')
    expect(JSON.stringify(event)).not.toContain('SSS')
    // nor where the text is too long to be looked at as a whole
    const endless = sealEvent(
      operationWith({ text: `GET http://u:${'S'.repeat(100_000)}@h/ failed` }),
    )
    expect(JSON.stringify(endless.event)).toMatch(/GET … 100\d+ bytes cut/)
  })
})

describe('a sealed event', () => {
  test('is the event itself where that is small and free of secrets', () => {
    fc.assert(
      fc.property(newEvents, (news: NewEvent) => {
        const event: AgentEvent = { ...news, id: 3, at: 4 }
        expect(sealEvent(event).event).toEqual(JSON.parse(JSON.stringify(event)))
      }),
    )
  })

  test('is plain JSON, frozen to its last value, of bounded size, whatever the facts are', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.anything({ withBigInt: true })), (fields) => {
        const { event, chars } = sealEvent(operationWith(fields))
        expect(event).toMatchObject({ type: 'operation', operation: 'write image', id: 1, at: 2 })
        expect(JSON.parse(JSON.stringify(event))).toEqual(event)
        expect(chars).toBeLessThanOrEqual(MAX_EVENT_CHARS)
        expect(Object.isFrozen(event)).toBe(true)
        expect(Object.isFrozen('fields' in event && event.fields)).toBe(true)
      }),
    )
  })

  test('has errors among its facts as the log has them, bytes by their number, large numbers as text', () => {
    const reason = new AgentError('SwarmError', 'no peers')
    const fields = { reason, seed: new Uint8Array(9), sectors: 2n ** 64n }
    expect(sealEvent(operationWith(fields)).event).toMatchObject({
      fields: {
        reason: { type: 'SwarmError', kind: 'source' },
        seed: '<9 bytes>',
        sectors: '18446744073709551616',
      },
    })
  })

  test('says what of a long text is missing', () => {
    const { event } = sealEvent(operationWith({ text: 'one word '.repeat(1000) }))
    expect(JSON.stringify(event)).toMatch(/word on… 808 bytes cut/)
  })

  test('keeps id, time and kind when its facts have to go', () => {
    const manyTexts = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`text${i}`, 'xyz '.repeat(2000)]),
    )
    expect(sealEvent(operationWith(manyTexts)).event).toEqual({
      ...operationWith({}),
      fields: { dropped: expect.stringMatching(/^\d+ characters$/) },
    })
    const unreadable = Object.defineProperty({}, 'trap', {
      enumerable: true,
      get: () => {
        throw new Error('not yours')
      },
    })
    expect(sealEvent(operationWith({ unreadable })).event).toEqual({
      ...operationWith({}),
      fields: { dropped: 'not readable: not yours' },
    })
  })

  test('ends where facts lead back to themselves', () => {
    const many: unknown[] = []
    for (let i = 0; i < 20; i++) many.push(many)
    expect(sealEvent(operationWith({ many })).chars).toBeLessThan(MAX_EVENT_CHARS)
  })
})
