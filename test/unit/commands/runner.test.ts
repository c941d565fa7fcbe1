import { afterEach, describe, expect, test, vi } from 'vitest'
import { type CommandResult, command } from '../../../agent/commands/command.ts'
import { CLOSE_DEADLINE_MS } from '../../../agent/commands/runner.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { snakeCase } from '../../../agent/core/json.ts'
import { async_, runToEnd, sync } from '../../support/agent-in-process.ts'
import { progressOf } from '../../support/event-lab.ts'
import { startRunner } from './runner-lab.ts'

afterEach(() => {
  vi.useRealTimers()
})

const PROGRESS = progressOf()

describe('an asynchronous command', () => {
  test('is RUNNING at once, with the five keys and the short name, and SUCCEEDED at its end', async () => {
    const gate = Promise.withResolvers<object>()
    await using x = await startRunner({ go: async_(() => gate.promise) })
    const started = await x.runner.execute('x.go', {})
    expect(started).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      command_name: 'go',
      command_status: 'RUNNING',
      command_error: null,
      command_result: null,
    })
    gate.resolve({ deploy_step: 1 })
    expect(await x.runner.whenDone(started.id)).toEqual({
      ...started,
      command_status: 'SUCCEEDED',
      command_result: { deploy_step: 1 },
    })
  })

  test('makes every other command busy until it has ended', async () => {
    const gate = Promise.withResolvers<void>()
    await using x = await startRunner({ go: async_(() => gate.promise), quick: sync(() => null) })
    await x.runner.execute('x.go', {})
    for (const name of ['x.go', 'x.quick', 'unknown.y']) {
      await expect(x.runner.execute(name, {})).rejects.toMatchObject({
        type: 'AgentIsBusy',
        status: 409,
        message: 'Agent is busy: executing command go',
      })
    }
    gate.resolve()
    await x.runner.whenDone(x.runner.list()[0]?.id as string)
    expect((await x.runner.execute('x.quick', {})).command_status).toBe('SUCCEEDED')
  })

  test('shows its progress while it runs, and not afterwards', async () => {
    const gate = Promise.withResolvers<void>()
    const go = command({
      kind: 'async',
      parse: () => undefined,
      run: async (_params, context) => {
        context.events.publish({ type: 'progress', progress: PROGRESS })
        await gate.promise
        return 'done'
      },
    })
    await using x = await startRunner({ go })
    const { id } = await x.runner.execute('x.go', {})
    await expect
      .poll(() => x.runner.get(id).command_result)
      .toEqual({ progress: snakeCase(PROGRESS) })
    expect(x.events.snapshot().command).toEqual({
      commandId: id,
      name: 'go',
      progress: PROGRESS,
      startedAt: expect.any(Number),
    })
    gate.resolve()
    expect((await x.runner.whenDone(id)).command_result).toEqual({ result: 'go: done' })
    expect(x.events.snapshot().command).toBeNull()
  })

  test('is told of: its beginning, what happens inside under its name, and its end with the error', async () => {
    await using x = await startRunner({
      go: {
        kind: 'async',
        subjectOf: ({ step }) => `${step}`,
        parse: () => async (context) => {
          context.events.publish({ type: 'stage', stage: 'erase', state: 'began' })
          throw new AgentError('BlockDeviceEraseError', 'no')
        },
      },
    })
    const { id } = await runToEnd(x.runner, 'x.go', { step: 'erase_devices' })
    const command = { type: 'command', commandId: id, name: 'go', subject: 'erase_devices' }
    expect(x.events.seen).toMatchObject([
      { ...command, status: 'RUNNING', error: null },
      { type: 'stage', operation: 'go' },
      { ...command, status: 'FAILED', error: { type: 'BlockDeviceEraseError' } },
    ])
  })

  test('tells the listener of its end, whatever the end is', async () => {
    const ended: CommandResult[] = []
    await using x = await startRunner(
      {
        good: async_(() => null),
        bad: async_(() => {
          throw new Error('no')
        }),
      },
      { onFinished: (result) => ended.push(result) },
    )
    await runToEnd(x.runner, 'x.good')
    await runToEnd(x.runner, 'x.bad')
    expect(ended.map(({ command_status }) => command_status)).toEqual(['SUCCEEDED', 'FAILED'])
  })

  test('whose parameters are refused does not run and leaves no result', async () => {
    let hasRun = false
    const go = command({
      kind: 'async',
      parse: () => {
        throw new AgentError('InvalidCommandParamsError', 'urls missing')
      },
      run: async () => {
        hasRun = true
      },
    })
    await using x = await startRunner({ go })
    await expect(x.runner.execute('x.go', {})).rejects.toMatchObject({ status: 400 })
    expect(x.runner.list()).toEqual([])
    expect(hasRun).toBe(false)
  })

  test('is run with what its parameters were read as, once', async () => {
    let parses = 0
    const go = command({
      kind: 'async',
      parse: (params) => {
        parses++
        return Number(params['size'])
      },
      run: async (size) => ({ size }),
    })
    await using x = await startRunner({ go })
    const result = await runToEnd(x.runner, 'x.go', { size: '5' })
    expect(result.command_result).toEqual({ size: 5 })
    expect(parses).toBe(1)
  })
})

describe('synchronous commands', () => {
  test('run one after the other, in the order they were asked for', async () => {
    const order: string[] = []
    const gate = Promise.withResolvers<void>()
    await using x = await startRunner({
      slow: sync(async () => {
        order.push('slow begins')
        await gate.promise
        order.push('slow ends')
      }),
      quick: sync(() => void order.push('quick')),
    })
    const slow = x.runner.execute('x.slow', {})
    const quick = x.runner.execute('x.quick', {})
    expect(x.runner.list()).toEqual([])
    gate.resolve()
    await Promise.all([slow, quick])
    expect(order).toEqual(['slow begins', 'slow ends', 'quick'])
    expect(x.runner.list().map(({ command_name }) => command_name)).toEqual(['slow', 'quick'])
  })

  test('of which one is refused do not block those after it', async () => {
    await using x = await startRunner({ quick: sync(() => null) })
    const refused = x.runner.execute('x.unknown', {})
    const quick = x.runner.execute('x.quick', {})
    await expect(refused).rejects.toMatchObject({ type: 'InvalidCommandError' })
    expect((await quick).command_status).toBe('SUCCEEDED')
  })
})

describe('close()', () => {
  test('aborts the running command, waits for its end and takes no more', async () => {
    const go = command({
      kind: 'async',
      parse: () => undefined,
      run: (_params, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    })
    await using x = await startRunner({ go })
    const { id } = await x.runner.execute('x.go', {})
    await x.runner.close()
    expect(x.runner.get(id)).toMatchObject({
      command_status: 'FAILED',
      command_error: { type: 'CancelledError' },
    })
    await expect(x.runner.execute('x.go', {})).rejects.toThrow('agent is stopping')
  })

  test('does not wait for ever for a command that ignores its signal', async () => {
    await using x = await startRunner({ go: async_(() => new Promise(() => undefined)) })
    const { id } = await x.runner.execute('x.go', {})
    const waiting = x.runner.whenDone(id)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const closed = x.runner.close()
    await vi.advanceTimersByTimeAsync(CLOSE_DEADLINE_MS)
    await closed
    expect((await waiting).command_status).toBe('RUNNING')
    expect(x.restart().get(id).command_status).toBe('FAILED')
  })
})
