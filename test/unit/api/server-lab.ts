// SPDX-License-Identifier: Apache-2.0
// Owns the API server of tests: a real one, with commands that behave in every way a command can.
import type { Socket } from 'node:net'
import { Agent, request } from 'undici'
import { type ApiServerOptions, createApiServer } from '../../../agent/api/server.ts'
import { createRunner } from '../../../agent/commands/runner.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createEventStream } from '../../../agent/telemetry/event-stream.ts'
import {
  async_,
  silentLog,
  standInExtensions,
  sync,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'

export const TOKEN = 'a-token-of-more-than-thirty-two-characters'
export const POST = `/v1/commands/?wait=true&agent_token=${TOKEN}`

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: Record<string, unknown>
}

/** A real server with commands that behave in every way a command can. */
/** The next answer that comes on `socket`, whole, however many segments it takes; at its end what there is. */
export function answerOn(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let answer = ''
  const end = () => {
    socket.off('data', read).off('close', end)
    resolve(answer)
  }
  const read = (bytes: Buffer) => {
    answer += bytes.toString('latin1')
    const [head = '', ...body] = answer.split('\r\n\r\n')
    const length = /^content-length: (\d+)/im.exec(head)?.[1]
    if (length !== undefined && body.join('\r\n\r\n').length >= Number(length)) end()
  }
  socket.on('data', read).on('close', end)
  return promise
}

export async function startServer(
  options: Partial<ApiServerOptions> = {},
  host: string | null = '127.0.0.1',
  commands: Parameters<typeof standInExtensions>[0] = {},
) {
  const directory = await temporaryDirectory()
  const tokens = createTokenKeeper({ runDir: directory.path })
  tokens.accept(TOKEN)
  const gate = Promise.withResolvers<void>()
  const runner = createRunner({
    extensions: standInExtensions({
      'log.text': sync(() => 'some text'),
      'log.fail': sync(() => {
        throw new AgentError('DeviceNotFound', 'no disk of 4 GiB or more')
      }),
      'log.refuse': sync(() => {
        throw new AgentError('InvalidCommandParamsError', 'urls must not be empty')
      }),
      'standby.text': async_(() => 'written'),
      'standby.gated': async_(() => gate.promise),
      ...commands,
    }),
    runDir: directory.path,
    log: silentLog,
    events: createEventStream({ now: () => 0 }),
  })
  const server = createApiServer({
    runner,
    tokens,
    status: () => ({ progress: { percent: 50 } }),
    version: '1.2.3',
    startedAt: 1790000000.25,
    log: silentLog,
    ...options,
  })
  const { port } = await server.listen({ host, port: 0 })
  const origin = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } })
  const call = async (
    method: string,
    path: string,
    body?: string,
    headers = {},
  ): Promise<Answer> => {
    const response = await request(origin + path, {
      dispatcher,
      method: method as 'GET',
      headers,
      ...(body === undefined ? {} : { body }),
    })
    const text = await response.body.text()
    return {
      status: response.statusCode,
      headers: response.headers,
      text,
      json: text === '' ? {} : JSON.parse(text),
    }
  }
  return {
    call,
    command: (name: string, path = POST) =>
      call('POST', path, JSON.stringify({ name, params: {} })),
    runner,
    server,
    port,
    gate,
    [Symbol.asyncDispose]: async () => {
      gate.resolve()
      await dispatcher.destroy()
      await runner.close()
      await server.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}
