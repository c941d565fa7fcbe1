import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createLifecycle, GRACE_MS } from '../../../agent/daemon/lifecycle.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function startWith(terminated = 143) {
  const process = new EventEmitter()
  const exits: number[] = []
  const lines: string[] = []
  const lifecycle = createLifecycle({
    process,
    log: createLogger({ level: 'error', destination: { write: (text) => lines.push(text) } }),
    exit: (code) => exits.push(code),
    exitCodes: { interrupted: 130, terminated, crashed: 1 },
  })
  return { process, exits, lines, lifecycle }
}

describe('createLifecycle', () => {
  test('the first Ctrl-C aborts, the second ends the process at once, both with 130', () => {
    const { process, exits, lifecycle } = startWith()
    expect(lifecycle.exitCode()).toBeUndefined()
    process.emit('SIGINT')
    expect(lifecycle.signal.aborted).toBe(true)
    expect(lifecycle.signal.reason.type).toBe('CancelledError')
    expect(lifecycle.exitCode()).toBe(130)
    expect(exits).toEqual([])
    process.emit('SIGINT')
    expect(exits).toEqual([130])
  })

  test('SIGTERM aborts with 143, for the agent with 0', () => {
    for (const [given, code] of [
      [undefined, 143],
      [0, 0],
    ]) {
      const { process, lifecycle } = startWith(given)
      process.emit('SIGTERM')
      expect(lifecycle.signal.aborted).toBe(true)
      expect(lifecycle.exitCode()).toBe(code)
    }
  })

  test('a command that does not end in its grace time is ended', () => {
    const { process, exits } = startWith()
    process.emit('SIGTERM')
    vi.advanceTimersByTime(GRACE_MS - 1)
    expect(exits).toEqual([])
    vi.advanceTimersByTime(1)
    expect(exits).toEqual([143])
  })

  test.each(['uncaughtException', 'unhandledRejection'])(
    '%s is logged without secrets, aborts, and ends with 1 even if SIGTERM came first',
    (event) => {
      const { process, lifecycle, lines } = startWith(0)
      process.emit('SIGTERM')
      process.emit(event, new Error('at http://h/?agent_token=s3cret'))
      expect(lifecycle.signal.aborted).toBe(true)
      expect(lifecycle.exitCode()).toBe(1)
      expect(lines).toHaveLength(1)
      expect(lines[0]).toContain('"msg":"crashed"')
      expect(lines[0]).not.toContain('s3cret')
    },
  )

  test('a rejection with anything but an error is logged too', () => {
    const { process, lines } = startWith()
    process.emit('unhandledRejection', 'just words')
    expect(lines[0]).toContain('just words')
  })
})
