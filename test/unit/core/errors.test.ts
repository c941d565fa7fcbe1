// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  AgentError,
  ERROR_TABLE,
  type ErrorType,
  isAgentError,
  messageOf,
  systemErrorCode,
  toAgentError,
} from '../../../agent/core/errors.ts'

const TYPES = Object.keys(ERROR_TABLE) as ErrorType[]

describe('an error of the agent', () => {
  test('goes on the wire as its row of the table, with its details apart', () => {
    fc.assert(
      fc.property(fc.constantFrom(...TYPES), fc.string(), (type, details) => {
        const error = new AgentError(type, details)
        const { status, message, kind } = ERROR_TABLE[type]
        expect(error.toWire()).toEqual({ type, code: status, message, details })
        expect([error.name, error.kind]).toEqual([type, kind])
        expect(error.message).toBe(`${message}: ${details}`)
      }),
    )
  })

  test('may be of another kind than its row, which the wire does not show', () => {
    const error = new AgentError('ImageDownloadError', 'status 503', { kind: 'transient' })
    expect(error.kind).toBe('transient')
    expect(error.toWire()).toEqual(new AgentError('ImageDownloadError', 'status 503').toWire())
  })

  test('is told by its type, and from what only looks like one', () => {
    const error = new AgentError('InvalidImage', 'x')
    expect(isAgentError(error)).toBe(true)
    expect(isAgentError(error, 'InvalidImage')).toBe(true)
    expect(isAgentError(error, 'ImageWriteError')).toBe(false)
    expect(isAgentError({ type: 'InvalidImage', message: 'x' })).toBe(false)
  })
})

describe('whatever was thrown', () => {
  test('becomes an error of the agent, with what was thrown as cause', () => {
    const defect = new TypeError('x is not a function')
    const error = toAgentError(defect)
    expect(error).toMatchObject({ type: 'CommandExecutionError', cause: defect })
    expect(error.details).toBe('x is not a function')
    expect(toAgentError(defect, 'HeartbeatError').type).toBe('HeartbeatError')
  })

  test('stays what it is when it is one already', () => {
    const error = new AgentError('InvalidImage', 'x')
    expect(toAgentError(error, 'HeartbeatError')).toBe(error)
  })

  test('has a text, with that of its cause', () => {
    const cause = new Error('ECONNREFUSED')
    expect(messageOf(new Error('fetch failed', { cause }))).toBe('fetch failed (ECONNREFUSED)')
    expect(messageOf(new AgentError('InvalidImage', 'x', { cause }))).toBe(
      `${ERROR_TABLE.InvalidImage.message}: x`,
    )
    expect([messageOf('text'), messageOf(undefined), messageOf(7)]).toEqual([
      'text',
      'undefined',
      '7',
    ])
  })
})

describe('the code of a system error', () => {
  const coded = Object.assign(new Error('full'), { code: 'ENOSPC' })

  test('is found behind the errors that wrap it', () => {
    const wrapped = new Error('write', { cause: new Error('disk', { cause: coded }) })
    expect([systemErrorCode(coded), systemErrorCode(wrapped)]).toEqual(['ENOSPC', 'ENOSPC'])
    const agents = new AgentError('ImageWriteError', 'x', { cause: coded })
    expect(systemErrorCode(agents)).toBe('ENOSPC')
  })

  test('is the outermost of several', () => {
    const outer = Object.assign(new Error('x', { cause: coded }), { code: 'EPIPE' })
    expect(systemErrorCode(outer)).toBe('EPIPE')
  })

  test('is none for other values, for numbers, and for a circle of causes', () => {
    const circle = new Error('a')
    circle.cause = circle
    const numbered = Object.assign(new Error('x'), { code: 5 })
    expect([circle, numbered, { code: 'ENOSPC' }, 'ENOSPC', null].map(systemErrorCode)).toEqual(
      Array.from({ length: 5 }),
    )
  })
})
