import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { command } from '../../../agent/commands/command.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { async_, runToEnd, sync } from '../../support/agent-in-process.ts'
import { startRunner } from './runner-lab.ts'

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
