import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { type ApiServerOptions, createApiServer } from '../../../agent/api/server.ts'
import { createRunner } from '../../../agent/commands/runner.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import { createTokenKeeper } from '../../../agent/ironic/agent-token.ts'
import { createSelfSignedCertificate } from '../../../agent/ironic/certificate.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import {
  async_,
  silentLog,
  standInExtensions,
  sync,
  temporaryDirectory,
} from '../../support/agent-in-process.ts'

const TOKEN = 'a-token-of-more-than-thirty-two-characters'
const POST = `/v1/commands/?wait=true&agent_token=${TOKEN}`

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: Record<string, unknown>
}

/** A real server with commands that behave in every way a command can. */
async function startServer(
  options: Partial<ApiServerOptions> = {},
  host: string | null = '127.0.0.1',
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
    }),
    runDir: directory.path,
    log: silentLog,
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

describe('documents', () => {
  test('/ names the version and links to it under the address that was asked', async () => {
    await using api = await startServer()
    const { status, json } = await api.call('GET', '/')
    expect(status).toBe(200)
    expect(json['versions']).toEqual([json['default_version']])
    expect(json['default_version']).toMatchObject({
      id: 'v1',
      links: [{ href: `http://127.0.0.1:${api.port}/v1/`, rel: 'self' }, { rel: 'describedby' }],
    })
  })

  test('/v1/ lists commands, status and the media type', async () => {
    await using api = await startServer()
    const { json } = await api.call('GET', '/v1/')
    expect(Object.keys(json).sort()).toEqual(['commands', 'id', 'links', 'media_types', 'status'])
    expect(json['media_types']).toEqual([
      {
        base: 'application/json',
        type: 'application/vnd.openstack.ironic-python-agent.v1+json',
      },
    ])
  })

  test.each(['/v1/status', '/status'])('%s is open and carries progress', async (path) => {
    await using api = await startServer()
    const { json, headers } = await api.call('GET', path)
    expect(json).toEqual({
      started_at: 1790000000.25,
      version: '1.2.3',
      progress: { percent: 50 },
    })
    expect(headers['content-type']).toMatch(/^application\/json/)
  })
})

describe('paths and methods', () => {
  test.each([
    ['GET', '/v1', '/v1/'],
    ['GET', '/v1/commands?wait=true', '/v1/commands/?wait=true'],
    ['POST', '/v1/commands?wait=true&agent_token=x', '/v1/commands/?wait=true&agent_token=x'],
    ['POST', '/commands', '/commands/'],
  ])('%s %s is redirected with 308', async (method, path, location) => {
    await using api = await startServer()
    const answer = await api.call(method, path, method === 'POST' ? '{}' : undefined)
    expect(answer.status).toBe(308)
    expect(answer.headers['location']).toBe(location)
  })

  test.each([
    ['DELETE', '/v1/commands/', 'GET, HEAD, POST'],
    ['PUT', '/commands/', 'GET, HEAD, POST'],
    ['POST', '/v1/status', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
    ['PATCH', '/v1/commands/some-id', 'GET, HEAD'],
  ])('%s %s is 405 and says what is allowed', async (method, path, allow) => {
    await using api = await startServer()
    const answer = await api.call(method, path)
    expect(answer.status).toBe(405)
    expect(answer.headers['allow']).toBe(allow)
    expect(answer.json['faultcode']).toBe('Client')
    expect(answer.json['faultstring']).toMatch(/^405 Method Not Allowed: /)
  })

  test.each(['/v1/status/', '/v2/', '/v1/commands/id/x', '/%zz', '/v1/commands/%2e%2e%2f'])(
    'GET %s is a client error with a faultstring',
    async (path) => {
      await using api = await startServer()
      const answer = await api.call('GET', path)
      expect([400, 404]).toContain(answer.status)
      expect(typeof answer.json['faultstring']).toBe('string')
    },
  )

  test.each(['/', '/v1/', '/v1/status', '/v1/commands/', '/status'])(
    'HEAD %s answers like GET, without a body',
    async (path) => {
      await using api = await startServer()
      const answer = await api.call('HEAD', path)
      expect(answer.status).toBe(200)
      expect(answer.text).toBe('')
    },
  )
})

describe('POST of a command', () => {
  test('without the prefix v1 does the same', async () => {
    await using api = await startServer()
    const answer = await api.command('standby.sync', `/commands/?agent_token=${TOKEN}`)
    expect(answer.json).toMatchObject({ command_name: 'sync', command_status: 'SUCCEEDED' })
  })

  test.each([
    ['no content type', {}],
    ['text/plain', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['what is no media type', { 'content-type': 'nonsense' }],
  ])('is read as JSON with %s', async (_what, headers) => {
    await using api = await startServer()
    const body = JSON.stringify({ name: 'standby.sync', params: {} })
    const answer = await api.call('POST', POST, body, headers)
    expect(answer.json).toMatchObject({ command_status: 'SUCCEEDED' })
  })

  test.each([
    ['nothing', undefined, /^400 Bad Request: Failed to decode JSON object: /],
    ['no JSON', '{"name": "secret-text', /^400 Bad Request: Failed to decode JSON object: /],
    ['no JSON either', '{"name": secret-text}', /^400 Bad Request: Failed to decode JSON object: /],
    ['a list', '[]', /^400 Bad Request: Missing or invalid name or params$/],
    ['null', 'null', /^400 Bad Request: Missing or invalid name or params$/],
    ['no params', '{"name":"a.b"}', /^400 Bad Request: Missing or invalid name or params$/],
    ['params as a list', '{"name":"a.b","params":[]}', /Missing or invalid name or params$/],
    ['a name that is a number', '{"name":1,"params":{}}', /Missing or invalid name or params$/],
    [
      'a name without a dot',
      '{"name":"sync","params":{}}',
      /^Invalid command: Command name must be of the form <extension>\.<name>$/,
    ],
    [
      'an unknown command',
      '{"name":"standby.dance","params":{}}',
      /^Invalid command: Unknown command: dance$/,
    ],
    [
      'a name of Object.prototype',
      '{"name":"standby.constructor","params":{}}',
      /^Invalid command: Unknown command: constructor$/,
    ],
    [
      'parameters the command refuses',
      '{"name":"log.refuse","params":{}}',
      /^Invalid command parameters: urls must not be empty$/,
    ],
  ])('with %s is refused with 400 and leaves no result', async (_what, body, text) => {
    await using api = await startServer()
    const answer = await api.call('POST', POST, body)
    expect(answer.status).toBe(400)
    expect(answer.json['faultcode']).toBe('Client')
    expect(answer.json['faultstring']).toMatch(text)
    expect(answer.text).not.toContain('secret-text')
    expect(api.runner.list()).toEqual([])
  })

  test('of an unknown extension is 404', async () => {
    await using api = await startServer()
    const answer = await api.command('iscsi.start')
    expect(answer.status).toBe(404)
    expect(answer.json['faultstring']).toBe('Not found: Extension with id iscsi not found.')
  })

  test('that fails answers 200 with the error in the result', async () => {
    await using api = await startServer()
    const answer = await api.command('log.fail')
    expect(answer.status).toBe(200)
    expect(answer.json).toEqual({
      id: expect.any(String),
      command_name: 'fail',
      command_status: 'FAILED',
      command_error: {
        type: 'DeviceNotFound',
        code: 404,
        message: 'Error finding the disk or partition device',
        details: 'no disk of 4 GiB or more',
      },
      command_result: null,
    })
  })

  test('waits for the end with wait=TRUE and answers RUNNING without', async () => {
    await using api = await startServer()
    const waited = await api.command('standby.text', `/v1/commands/?wait=TRUE&agent_token=${TOKEN}`)
    expect(waited.json['command_result']).toEqual({ result: 'text: written' })
    const started = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    expect(started.json['command_status']).toBe('RUNNING')
  })

  test('while another runs is 409, which the conductor knows as busy', async () => {
    await using api = await startServer()
    await api.command('standby.gated', `/v1/commands/?wait=false&agent_token=${TOKEN}`)
    const answer = await api.command('log.collect_system_logs')
    expect(answer.status).toBe(409)
    expect(answer.json['faultstring']).toBe('Agent is busy: executing command gated')
  })

  test('larger than the limit is refused by its length', async () => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    socket.write(`POST ${POST} HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n`)
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1\.1 413 /)
    expect(String(answer)).toContain('"faultstring":"')
    socket.destroy()
  })
})

describe('the agent token', () => {
  test.each([
    ['absent', ''],
    ['empty', '&agent_token='],
    ['wrong', `&agent_token=${TOKEN}x`],
    ['given twice', `&agent_token=${TOKEN}&agent_token=${TOKEN}`],
  ])('that is %s makes a POST 401 before its body is read', async (_what, query) => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    // the body never comes: only a server that does not wait for it can answer
    socket.write(
      `POST /v1/commands/?wait=true${query} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n`,
    )
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1\.1 401 /)
    expect(String(answer)).toContain('"faultstring":"401 Unauthorized: Token invalid."')
    socket.destroy()
  })

  test('is needed on GET from the first GET on that carried it, but never for the documents', async () => {
    await using api = await startServer()
    expect((await api.call('GET', '/v1/commands/')).status).toBe(200)
    expect((await api.call('GET', '/v1/commands/?agent_token=wrong')).status).toBe(401)
    expect((await api.call('GET', '/v1/commands/')).status).toBe(200)
    expect((await api.call('GET', `/v1/commands/?agent_token=${TOKEN}`)).status).toBe(200)
    expect((await api.call('GET', '/v1/commands/')).status).toBe(401)
    expect((await api.call('GET', '/commands/')).status).toBe(401)
    expect((await api.call('GET', '/v1/commands/some-id')).status).toBe(401)
    for (const path of ['/', '/v1/', '/v1/status']) {
      expect((await api.call('GET', path)).status).toBe(200)
    }
  })

  test('is in no line of the request log, nor is any query', async () => {
    const lines: string[] = []
    const log = createLogger({ level: 'trace', destination: { write: (line) => lines.push(line) } })
    await using api = await startServer({ log })
    await api.command('standby.sync')
    await api.call('GET', `/v1/commands/?agent_token=${TOKEN}&secret=1`)
    await expect.poll(() => lines.length).toBe(2)
    expect(lines.join()).not.toMatch(/a-token|secret/)
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      msg: 'request served',
      method: 'POST',
      path: '/v1/commands/',
      status: 200,
      duration_ms: expect.any(Number),
      peer: '127.0.0.1',
    })
  })
})

describe('GET of results', () => {
  test('shows one by its id, and waits for it with wait=true', async () => {
    await using api = await startServer()
    const { json } = await api.command('standby.gated', `/v1/commands/?agent_token=${TOKEN}`)
    const path = `/v1/commands/${json['id']}`
    expect((await api.call('GET', path)).json['command_status']).toBe('RUNNING')
    const waiting = api.call('GET', `${path}?wait=true`)
    api.gate.resolve()
    expect((await waiting).json['command_status']).toBe('SUCCEEDED')
  })

  test('of an unknown id is 404', async () => {
    await using api = await startServer()
    const answer = await api.call('GET', '/v1/commands/17')
    expect(answer.status).toBe(404)
    expect(answer.json['faultstring']).toBe('Not found: Command Result with id 17 not found.')
  })
})

describe('the listening socket', () => {
  test('takes IPv4 and IPv6 when no host is given', async () => {
    await using api = await startServer({}, null)
    expect((await api.call('GET', '/v1/status')).status).toBe(200)
    const six = await fetch(`http://[::1]:${api.port}/v1/status`)
    expect(six.status).toBe(200)
  })

  test('answers what is no HTTP with a fault and ends the connection', async () => {
    await using api = await startServer()
    const socket = connect(api.port, '127.0.0.1')
    socket.write('NONSENSE\r\n\r\n')
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toContain('"faultstring":"400 Bad Request')
    await once(socket, 'close')
  })

  test('drained() waits until the answer under way has arrived, and no longer', async () => {
    await using api = await startServer()
    await api.server.drained(60_000)
    const waiting = api.command('standby.gated')
    await expect.poll(() => api.runner.list().length).toBe(1)
    let isDrained = false
    const draining = api.server.drained(60_000).then(() => {
      isDrained = true
    })
    await api.call('GET', '/v1/status')
    expect(isDrained).toBe(false)
    api.gate.resolve()
    await draining
    await api.server.close()
    expect((await waiting).json).toMatchObject({ command_status: 'SUCCEEDED' })
  })

  test('drained() gives up on an answer that does not come', async () => {
    await using api = await startServer()
    const waiting = api.command('standby.gated').catch(() => undefined)
    await expect.poll(() => api.runner.list().length).toBe(1)
    await api.server.drained(10)
    expect(api.runner.list()).toMatchObject([{ command_status: 'RUNNING' }])
    api.gate.resolve()
    await waiting
  })

  test('close() ends connections that wait for a command', async () => {
    await using api = await startServer()
    const waiting = api.command('standby.gated').catch((error: unknown) => error)
    await expect.poll(() => api.runner.list().length).toBe(1)
    await api.server.close()
    expect(await waiting).toBeInstanceOf(Error)
  })

  test('close() ends a connection that never began its TLS handshake', async () => {
    const tls = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    await using api = await startServer({ tls })
    const socket = connect(api.port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    // a request on another connection: the server has certainly accepted the first one
    await api.call('GET', '/v1/status')
    const ended = once(socket, 'close')
    await api.server.close()
    await ended
  })

  test('refuses a TLS version below the lowest allowed, and speaks 1.2 where it is', async () => {
    const certificate = await createSelfSignedCertificate({ address: '127.0.0.1', hostname: 'x' })
    for (const [minVersion, works] of [
      ['1.2', true],
      ['1.3', false],
    ] as const) {
      await using api = await startServer({ tls: { ...certificate, minVersion } })
      expect((await api.call('GET', '/v1/status')).status).toBe(200)
      const socket = connectTls({
        port: api.port,
        host: '127.0.0.1',
        ca: certificate.cert,
        maxVersion: 'TLSv1.2',
      })
      const outcome = await Promise.race([
        once(socket, 'secureConnect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false)
      expect(outcome).toBe(works)
      socket.destroy()
    }
  })
})
