import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type AnyCommand, type CommandResult, command } from '../../../agent/commands/command.ts'
import {
  CLOSE_DEADLINE_MS,
  createRunner,
  type RunnerOptions,
} from '../../../agent/commands/runner.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import {
  async_,
  runToEnd,
  silentLog,
  sync,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'
import { progressOf, recordedStream } from '../../support/event-lab.ts'

afterEach(() => {
  vi.useRealTimers()
})

const PROGRESS = progressOf()

/** A runner with one extension `x` of these commands. */
async function startRunner(
  commands: Record<string, AnyCommand>,
  options: Partial<RunnerOptions> = {},
) {
  const directory = await temporaryDirectory()
  const events = recordedStream()
  const create = (stream = recordedStream()) =>
    createRunner({
      extensions: [{ name: 'x', commands }],
      runDir: directory.path,
      log: silentLog,
      events: stream,
      ...options,
    })
  return {
    runner: create(events),
    events,
    /** As the next process would make it. */
    restart: () => create(),
    file: join(directory.path, 'commands.json'),
    [Symbol.asyncDispose]: directory[Symbol.asyncDispose],
  }
}

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
    await expect.poll(() => x.runner.get(id).command_result).toEqual({ progress: PROGRESS })
    expect(x.events.snapshot().command).toEqual({
      commandId: id,
      name: 'go',
      progress: PROGRESS,
    })
    gate.resolve()
    expect((await x.runner.whenDone(id)).command_result).toEqual({ result: 'go: done' })
    expect(x.events.snapshot().command).toBeNull()
  })

  test('is told of: its beginning, what happens inside under its name, and its end with the error', async () => {
    await using x = await startRunner({
      go: {
        kind: 'async',
        parse: () => async (context) => {
          context.events.publish({ type: 'stage', stage: 'erase', state: 'began' })
          throw new AgentError('BlockDeviceEraseError', 'no')
        },
      },
    })
    const { id } = await runToEnd(x.runner, 'x.go')
    const command = { type: 'command', commandId: id, name: 'go' }
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

describe('the form of results', () => {
  test.each([
    ['text of a sync command', sync(() => 'text'), { result: 'text' }],
    ['text of an async command', async_(() => 'text'), { result: 'go: text' }],
    ['nothing', sync(() => undefined), null],
    ['an object', async_(() => ({ a: [1] })), { a: [1] }],
  ])('%s', async (_what, go, expected) => {
    await using x = await startRunner({ go })
    const result = await runToEnd(x.runner, 'x.go')
    expect(result).toMatchObject({ command_status: 'SUCCEEDED', command_result: expected })
  })

  test.each(['sync', 'async'] as const)('a foreign exception of a %s command', async (kind) => {
    const run = async () => {
      throw new TypeError('x is not a function')
    }
    const go = command({ kind, parse: () => undefined, run })
    await using x = await startRunner({ go })
    expect(await runToEnd(x.runner, 'x.go')).toMatchObject({
      command_name: 'go',
      command_status: 'FAILED',
      command_error: {
        type: 'CommandExecutionError',
        code: 500,
        message: 'Command execution failed',
        details: 'x is not a function',
      },
      command_result: null,
    })
  })

  test('a version mismatch has a status of its own', async () => {
    await using x = await startRunner({
      go: async_(() => {
        throw new AgentError('VersionMismatch', '{} is not {a: 1}')
      }),
    })
    expect(await runToEnd(x.runner, 'x.go')).toMatchObject({
      command_status: 'CLEAN_VERSION_MISMATCH',
      command_error: { type: 'VersionMismatch', code: 409 },
    })
  })

  test('what cannot be written as JSON is a failure of that command, not of later lists', async () => {
    await using x = await startRunner({ go: async_(() => ({ size: 1n })) })
    const result = await runToEnd(x.runner, 'x.go')
    expect(result.command_status).toBe('FAILED')
    expect(() => JSON.stringify(x.runner.list())).not.toThrow()
  })

  test('secrets of urls are struck out of error details', async () => {
    await using x = await startRunner({
      go: async_(() => {
        throw new AgentError('ImageDownloadError', 'http://s/v1/i?temp_url_sig=abc gave 404')
      }),
    })
    const { command_error } = await runToEnd(x.runner, 'x.go')
    expect(command_error?.details).toBe('http://s/v1/i?temp_url_sig=*** gave 404')
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

describe('the next process of the same boot', () => {
  test('shows the finished results and reports the interrupted command as FAILED', async () => {
    await using x = await startRunner({
      steps: sync(() => ({ deploy_steps: {} })),
      write: async_(() => new Promise(() => undefined)),
    })
    await x.runner.execute('x.steps', {})
    await x.runner.execute('x.write', {})
    const next = x.restart()
    expect(next.list().map(({ id }) => id)).toEqual(x.runner.list().map(({ id }) => id))
    expect(next.list()).toMatchObject([
      { command_name: 'steps', command_status: 'SUCCEEDED', command_result: { deploy_steps: {} } },
      {
        command_name: 'write',
        command_status: 'FAILED',
        command_error: { type: 'CommandExecutionError', code: 500 },
        command_result: null,
      },
    ])
    expect(next.list()[1]?.command_error?.details).toContain('was running')
    expect((await next.execute('x.steps', {})).command_status).toBe('SUCCEEDED')
  })

  test('finds no secrets in the file, which only root may read, while the wire has the exact echo', async () => {
    const step = { interface: 'deploy', step: 'write_image', args: { configdrive: 'H4sISECRET' } }
    await using x = await startRunner({ go: async_(() => ({ deploy_step: step })) })
    const result = await runToEnd(x.runner, 'x.go')
    expect(result.command_result).toEqual({ deploy_step: step })
    expect(readFileSync(x.file, 'utf8')).not.toContain('SECRET')
    expect(statSync(x.file).mode & 0o777).toBe(0o600)
    expect(x.restart().list()[0]?.command_result).toMatchObject({
      deploy_step: { interface: 'deploy', step: 'write_image' },
    })
  })

  test.each(['', '{', '{}', '[1]', '[{"id":"x"}]'])(
    'does not look freshly booted when the file holds %j',
    async (text) => {
      await using x = await startRunner({})
      writeFileSync(x.file, text)
      expect(x.restart().list()).toMatchObject([
        { command_name: 'execute_deploy_step', command_status: 'FAILED' },
      ])
    },
  )

  test('is never promised: a command that cannot be recorded does not start', async () => {
    let hasRun = false
    await using x = await startRunner({
      go: async_(() => {
        hasRun = true
      }),
    })
    const runDir = dirname(x.file)
    rmSync(runDir, { recursive: true })
    writeFileSync(runDir, 'a file where the directory was')
    await expect(x.runner.execute('x.go', {})).rejects.toMatchObject({ type: 'InvalidConfigError' })
    expect(hasRun).toBe(false)
    expect(x.runner.list()).toEqual([])
  })
})

describe('memory', () => {
  test('of long texts is bounded: the answer of the command is exact, the list notes their length', async () => {
    const logs = 'x'.repeat(20_000_000)
    await using x = await startRunner({ logs: sync(() => ({ system_logs: logs })) })
    for (let i = 0; i < 5; i++) {
      const answer = await x.runner.execute('x.logs', {})
      expect(answer.command_result).toEqual({ system_logs: logs })
    }
    expect(x.runner.list()).toHaveLength(5)
    for (const { command_result } of x.runner.list()) {
      expect(command_result).toEqual({
        system_logs: '<20000000 characters, not kept to bound memory>',
      })
    }
  })

  test('of many results is bounded: the oldest are let go, the newest is exact', async () => {
    let made = 0
    const result = () => ({ parts: Array.from({ length: 20 }, () => `${made++}`.padEnd(50_000)) })
    await using x = await startRunner({ large: sync(result) })
    for (let i = 0; i < 10; i++) await x.runner.execute('x.large', {})
    const lengths = x.runner.list().map((one) => JSON.stringify(one).length)
    expect(lengths).toHaveLength(10)
    expect(lengths[0]).toBeLessThan(1000)
    expect(lengths.at(-1)).toBeGreaterThan(1_000_000)
    expect(lengths.reduce((sum, n) => sum + n)).toBeLessThan(6_000_000)
  })

  test('of who waits no longer is given back, while the command runs on', async () => {
    await using x = await startRunner({ go: async_(() => new Promise(() => undefined)) })
    const { id } = await x.runner.execute('x.go', {})
    const controllers = Array.from({ length: 3 }, () => new AbortController())
    const waits = controllers.map(({ signal }) => x.runner.whenDone(id, signal))
    for (const controller of controllers) controller.abort(new Error('gone'))
    for (const wait of waits) await expect(wait).rejects.toThrow('gone')
    await expect(x.runner.whenDone(id, controllers[0]?.signal)).rejects.toThrow('gone')
    expect(x.runner.get(id).command_status).toBe('RUNNING')
  })

  test('of the list is the same objects, as long as nothing has changed', async () => {
    await using x = await startRunner({
      quick: sync(() => 'x'),
      go: async_(() => new Promise(() => undefined)),
    })
    await x.runner.execute('x.quick', {})
    await x.runner.execute('x.go', {})
    const before = x.runner.list()
    x.runner.list().forEach((result, i) => {
      expect(result).toBe(before[i])
    })
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
