import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createApiServer } from '../../../agent/api/server.ts'
import { command } from '../../../agent/commands/command.ts'
import { createRunner } from '../../../agent/commands/runner.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { type ServingEnd, serve } from '../../../agent/daemon/serve.ts'
import { createSeedingKeeper } from '../../../agent/deploy/seeding-keeper.ts'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { silentLog, temporaryDirectory } from '../../support/agent-in-process.ts'

/** Real parts, with one command that ends when it is told to, and a note of what happens in which order. */
async function lab(listenPort = 0) {
  const directory = await temporaryDirectory()
  const events: string[] = []
  const ended = Promise.withResolvers<ServingEnd>()
  const listening = Promise.withResolvers<number>()
  const stopping = new AbortController()
  const write = command({
    kind: 'async',
    parse: () => undefined,
    run: (_params, { signal }) =>
      new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          events.push('command ended')
          resolve()
        }),
      ),
  })
  const runner = createRunner({
    extensions: [{ name: 'x', commands: { write } }],
    runDir: directory.path,
    log: silentLog,
    events: createEventStream({ now: () => 0 }),
  })
  const seeding = createSeedingKeeper({ log: silentLog })
  await seeding.hold({ [Symbol.asyncDispose]: async () => void events.push('seeding ended') })
  const server = createApiServer({
    runner,
    tokens: createTokenKeeper({ runDir: directory.path }),
    status: () => ({}),
    version: '1.2.3',
    startedAt: 0,
    log: silentLog,
  })
  const agent = {
    config: { listen_host: '127.0.0.1', listen_port: listenPort },
    log: silentLog,
    metrics: { [Symbol.dispose]: () => undefined },
    heartbeats: {
      start: (port: number) => {
        events.push('heartbeats began')
        listening.resolve(port)
      },
      force: () => undefined,
      stop: async () => void events.push('heartbeats ended'),
    },
    seeding,
    runner,
    server,
    isTls: false,
    ended: ended.promise,
  }
  return {
    agent,
    events,
    runner,
    stopping,
    ended,
    port: listening.promise,
    [Symbol.asyncDispose]: directory[Symbol.asyncDispose],
  }
}

const answers = (port: number) =>
  fetch(`http://127.0.0.1:${port}/v1/status`).then(
    ({ status }) => status,
    () => undefined,
  )

describe('the serving agent', () => {
  test('can be called before its first heartbeat says so, and not after its end', async () => {
    await using x = await lab()
    const end = serve(x.agent, x.stopping.signal)
    const port = await x.port
    expect(await answers(port)).toBe(200)
    x.stopping.abort(new AgentError('CancelledError', 'terminated by SIGTERM'))
    expect(await end).toEqual({ reason: 'Cancelled: terminated by SIGTERM', afterwards: 'end' })
    expect(await answers(port)).toBeUndefined()
  })

  test('ends its heartbeats first, then the running command, then the seeding', async () => {
    await using x = await lab()
    const end = serve(x.agent, x.stopping.signal)
    await x.port
    await x.runner.execute('x.write', {})
    x.stopping.abort()
    await end
    expect(x.events).toEqual([
      'heartbeats began',
      'heartbeats ended',
      'command ended',
      'seeding ended',
    ])
  })

  test.each<ServingEnd>([
    { reason: 'powered off', afterwards: 'end' },
    { reason: 'rescued', afterwards: 'leave the machine' },
    { reason: 'locked down', afterwards: 'lock down' },
  ])('ends by a command with what that says: $reason', async (expected) => {
    await using x = await lab()
    const end = serve(x.agent, x.stopping.signal)
    await x.port
    x.ended.resolve(expected)
    expect(await end).toEqual(expected)
    expect(x.events).toContain('seeding ended')
  })

  test('does not begin where it has been told to end, and closes everything', async () => {
    await using x = await lab()
    x.stopping.abort(new AgentError('CancelledError', 'interrupted by Ctrl-C'))
    await expect(serve(x.agent, x.stopping.signal)).rejects.toMatchObject({
      type: 'CancelledError',
    })
    expect(x.events).toEqual(['heartbeats ended', 'seeding ended'])
  })

  test('names the options where its port is taken, and closes everything', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    try {
      const { port } = await new Promise<{ port: number }>((resolve) =>
        taken.once('listening', () => resolve(taken.address() as { port: number })),
      )
      await using x = await lab(port)
      await expect(serve(x.agent, x.stopping.signal)).rejects.toMatchObject({
        type: 'InvalidConfigError',
        details: expect.stringMatching(/port \d+ .*EADDRINUSE.*--listen-port/),
      })
      expect(x.events).toEqual(['heartbeats ended', 'seeding ended'])
    } finally {
      taken.close()
    }
  })
})
