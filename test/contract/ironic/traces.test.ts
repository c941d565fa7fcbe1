// Replays what an unmodified Ironic, 21.4.4 or newer, sent to an agent, against our server with extensions that
// give the recorded results: every answer must be the one the conductor accepted then.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { type ApiServer, createApiServer } from '../../../agent/api/server.ts'
import type { AnyCommand, CommandResult, Extension } from '../../../agent/commands/command.ts'
import { type CommandRunner, createRunner } from '../../../agent/commands/runner.ts'
import type { Progress } from '../../../agent/core/events.ts'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import { silentLog, temporaryDirectory } from '../../support/agent-in-process.ts'

const TRACES = join(import.meta.dirname, '../../fixtures/traces')

interface Exchange {
  readonly dir: 'agent->ironic' | 'ironic->agent'
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: { name: string; params: Record<string, unknown> } | null
  readonly status: number
  readonly resp: CommandResult & { commands?: CommandResult[] }
}

/** One boot of the agent: from its first call to the next boot's. */
function bootsOf(file: string): Exchange[][] {
  const exchanges = readFileSync(join(TRACES, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Exchange)
  const boots: Exchange[][] = []
  for (const exchange of exchanges) {
    if (exchange.dir === 'agent->ironic' && exchange.path === '/') boots.push([])
    boots.at(-1)?.push(exchange)
  }
  return boots
}

/** How each recorded command ended, by its recorded id: the newest entry of any list. */
function endsOf(boot: readonly Exchange[]): Map<string, CommandResult> {
  const ends = new Map<string, CommandResult>()
  for (const { resp } of boot) {
    for (const result of resp?.commands ?? []) ends.set(result.id, result)
  }
  return ends
}

/** The agent side of one boot. Asynchronous commands end just before the trace shows them ended. */
class Replay {
  readonly #ends: Map<string, CommandResult>
  readonly #ids = new Map<string, string>()
  #pending: (() => void)[] = []
  #next: Exchange | undefined
  readonly #events = createEventStream({ now: () => 0 })
  runner!: CommandRunner
  server!: ApiServer
  origin = ''

  constructor(boot: readonly Exchange[]) {
    this.#ends = endsOf(boot)
  }

  async start(boot: readonly Exchange[], runDir: string): Promise<void> {
    const tokens = createTokenKeeper({ runDir })
    const token = /agent_token=([^&]+)/.exec(
      boot.find((e) => e.method === 'POST' && e.body?.name)?.path ?? '',
    )
    tokens.accept(token?.[1])
    this.runner = createRunner({
      extensions: this.#extensions(boot),
      runDir,
      log: silentLog,
      events: this.#events,
    })
    this.server = createApiServer({
      runner: this.runner,
      tokens,
      status: () => ({}),
      version: '0',
      startedAt: 0,
      log: silentLog,
    })
    const { port } = await this.server.listen({ host: '127.0.0.1', port: 0 })
    this.origin = `http://127.0.0.1:${port}`
  }

  #extensions(boot: readonly Exchange[]): Extension[] {
    const byExtension = new Map<string, Record<string, AnyCommand>>()
    for (const { body, resp } of boot) {
      if (body?.name === undefined) continue
      const [extension = '', name = ''] = body.name.split('.')
      const kind = resp.command_status === 'RUNNING' ? 'async' : 'sync'
      const commands = byExtension.get(extension) ?? {}
      const parse = () => () => this.#run(kind)
      byExtension.set(extension, { ...commands, [name]: { kind, parse } })
    }
    return [...byExtension].map(([name, commands]) => ({ name, commands }))
  }

  async #run(kind: 'sync' | 'async'): Promise<unknown> {
    const recorded = this.#next?.resp as CommandResult
    if (kind === 'sync') return recorded.command_result
    const end = this.#ends.get(recorded.id) ?? recorded
    await new Promise<void>((resolve) => this.#pending.push(resolve))
    if (end.command_error !== null) throw new Error(end.command_error.details)
    return end.command_result
  }

  /**
   * Lets the running command end if this call of the conductor saw it ended, or came after it; else it is as far as the call
   * saw it.
   */
  async catchUp(exchange: Exchange): Promise<void> {
    const last = exchange.resp.commands?.at(-1)
    if (last?.command_status !== 'RUNNING') return await this.endPending()
    const { progress } = (last.command_result ?? {}) as { progress?: object }
    if (progress === undefined) return
    this.#events.publish({ type: 'progress', progress: camelCase(progress) as Progress })
  }

  async endPending(): Promise<void> {
    const running = this.runner.list().at(-1)
    for (const end of this.#pending) end()
    this.#pending = []
    if (running?.command_status === 'RUNNING') await this.runner.whenDone(running.id)
  }

  async send(exchange: Exchange): Promise<{ status: number; json: unknown; type: string }> {
    this.#next = exchange
    const {
      host: _,
      'content-length': __,
      connection: ___,
      ...headers
    } = lowerCased(exchange.headers)
    const dispatcher = new Agent()
    try {
      const response = await request(this.origin + exchange.path, {
        dispatcher,
        method: exchange.method,
        headers,
        ...(exchange.body === null ? {} : { body: JSON.stringify(exchange.body) }),
      })
      const json = (await response.body.json()) as CommandResult
      if (exchange.method === 'POST') this.#ids.set(exchange.resp.id, json.id)
      return {
        status: response.statusCode,
        json,
        type: String(response.headers['content-type']),
      }
    } finally {
      await dispatcher.close()
    }
  }

  /**
   * The recorded answer with the ids that our server gave; to a GET, which came without the token, with the
   * secrets of an echoed step struck out.
   */
  expected(exchange: Exchange): unknown {
    const translate = (result: CommandResult) => ({
      ...result,
      id: this.#ids.get(result.id),
    })
    const { commands } = exchange.resp
    return commands
      ? { commands: commands.map(translate).map(struckOut) }
      : translate(exchange.resp)
  }
}

/** The agent's own names of what the wire calls `eta_seconds`. */
function camelCase(value: object): object {
  const renamed = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [renamed(key), item]))
}

function struckOut(value: unknown): unknown {
  const text = JSON.stringify(value, (key, item) =>
    ['configdrive', 'content'].includes(key) && typeof item === 'string' ? '***' : item,
  )
  return JSON.parse(text)
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  )
}

describe('recorded calls of Ironic 21.4.4 and, by their names, of newer ones', () => {
  test.each(readdirSync(TRACES))('%s: every answer is as recorded', async (file) => {
    let calls = 0
    for (const boot of bootsOf(file)) {
      await using directory = await temporaryDirectory()
      const replay = new Replay(boot)
      await replay.start(boot, directory.path)
      for (const exchange of boot) {
        if (exchange.dir === 'agent->ironic') continue
        await replay.catchUp(exchange)
        calls++
        const answer = await replay.send(exchange)
        expect(answer.status).toBe(exchange.status)
        expect(answer.type).toContain('application/json')
        expect(answer.json).toEqual(replay.expected(exchange))
      }
      await replay.endPending()
      await replay.runner.close()
      await replay.server.close()
    }
    expect(calls).toBeGreaterThan(0)
  })
})
