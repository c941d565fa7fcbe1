// SPDX-License-Identifier: Apache-2.0
// Owns the routes of the REST API, with their authentication, redirects and refusals (contract 4.1, 4.2,
// 4.5). Does not know sockets or TLS.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CommandResult } from '../commands/command.ts'
import type { CommandRunner } from '../commands/runner.ts'
import { AgentError } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import type { MetricLogger } from '../telemetry/statsd.ts'
import { noJson } from './body-parser.ts'
import { createCommandAnswers } from './command-answers.ts'
import type { Connections } from './connections.ts'
import { rootDocument, versionDocument } from './documents.ts'
import { faultOf, HttpFault, sendFault } from './faults.ts'
import type { StatusPage } from './page/page.ts'
import type { UnreadAnswers } from './unread-answers.ts'

export interface RouteOptions {
  readonly runner: CommandRunner
  readonly tokens: TokenKeeper
  readonly status: () => JsonObject
  readonly version: string
  /** Unix seconds. */
  readonly startedAt: number
  /** For browsers; without it they are given JSON as everybody. */
  readonly page?: StatusPage | undefined
  readonly connections: Pick<Connections, 'trust' | 'gone'>
  readonly unread: Pick<UnreadAnswers, 'body'>
  readonly metrics: MetricLogger
}

/** ironic-python-agent's names, which dashboards know. */
const TIMERS = 'ironic_python_agent.api.app'

type Query = Readonly<Record<string, unknown>>

/** A path pattern and what it allows, for 405. */
export type AllowedPath = readonly [pattern: RegExp, methods: string]

/** The first that matches counts. */
const PATHS: readonly AllowedPath[] = [
  [/^\/(v1\/)?$/, 'GET, HEAD'],
  [/^(\/v1)?\/status$/, 'GET, HEAD'],
  [/^(\/v1)?\/commands\/$/, 'GET, HEAD, POST'],
  [/^(\/v1)?\/commands\/[^/]+$/, 'GET, HEAD'],
]

/** Without their slash they are redirected, POST included: 308 keeps method and body (contract 4.1). */
const NEED_SLASH = ['/v1', '/v1/commands', '/commands']

export function addRoutes(app: FastifyInstance, options: RouteOptions): void {
  const { page } = options
  app.get('/', async (request, reply) => {
    if (page?.isWanted(request.headers.accept)) return reply.headers(page.headers).send(page.text())
    return rootDocument(request.protocol, hostOf(request))
  })
  app.get('/v1/', async (request) => versionDocument(request.protocol, hostOf(request)))
  const guard = createTokenGuard(options)
  const answers = createCommandAnswers()
  for (const prefix of ['/v1', '']) {
    app.get(`${prefix}/status`, () =>
      timed(options, 'get_status', async () => ({
        ...options.status(),
        started_at: options.startedAt,
        version: options.version,
      })),
    )
    addCommandRoutes(app, `${prefix}/commands/`, { ...options, guard, answers })
  }
}

interface CommandRouteOptions extends RouteOptions {
  readonly guard: ReturnType<typeof createTokenGuard>
  readonly answers: ReturnType<typeof createCommandAnswers>
}

function addCommandRoutes(app: FastifyInstance, path: string, options: CommandRouteOptions): void {
  const { runner, guard, answers } = options
  const send = (reply: FastifyReply, document: Buffer, isTrusted: boolean) =>
    reply
      .header('content-type', 'application/json; charset=utf-8')
      .header('content-length', document.length)
      .send(options.unread.body(reply.raw, document, isTrusted))

  app.get(path, { onRequest: guard.get }, async (request, reply) => {
    const isTrusted = guard.isTrusted(request)
    const list = async () => answers.list(runner.list(), isTrusted)
    return send(reply, await timed(options, 'list_commands', list), isTrusted)
  })
  app.get<{ Params: { id: string } }>(
    `${path}:id`,
    { onRequest: guard.get },
    async (request, reply) => {
      const { id } = request.params
      const isTrusted = guard.isTrusted(request)
      const gone = options.connections.gone(request.raw)
      const result = await timed(options, 'get_command', async () =>
        isWait(request) ? await runner.whenDone(id, gone) : runner.get(id),
      ).catch((error: unknown) => {
        if (!gone.aborted) throw error
      })
      // nobody is there to be answered
      if (result === undefined) return reply.hijack()
      return send(reply, answers.one(result, isTrusted), isTrusted)
    },
  )
  // The token is checked before a byte of the body is read.
  app.post(path, { onRequest: guard.post }, async (request, reply) => {
    const asked = parseCommand(request.body)
    const run = () => runCommand(runner, asked, isWait(request))
    return send(reply, answers.one(await timed(options, 'run_command', run), true), true)
  })
}

function timed<T>(
  { metrics }: Pick<RouteOptions, 'metrics'>,
  call: string,
  work: () => Promise<T>,
): Promise<T> {
  return metrics.time(`${TIMERS}.${call}`, work)
}

/**
 * A POST needs the token. GET is open until a request shows a valid one and closed from then on: conductors
 * up to 21.4 send none, later ones always do (contract 4.5).
 */
function createTokenGuard({ tokens, connections }: RouteOptions) {
  let isClosed = false
  const isTokenGiven = (request: FastifyRequest) => queryOf(request)['agent_token'] !== undefined
  const post = async (request: FastifyRequest): Promise<void> => {
    if (!tokens.verify(queryOf(request)['agent_token'])) {
      throw new AgentError('Unauthorized', 'Token invalid.')
    }
    connections.trust(request.raw)
  }
  return {
    post,
    get: async (request: FastifyRequest): Promise<void> => {
      if (!isClosed && !isTokenGiven(request)) return
      await post(request)
      isClosed = true
    },
    /** For requests that were let in: one with a token had the right one. */
    isTrusted: isTokenGiven,
  }
}

/** A request of HTTP/1.0 may name no host: then it is the address that was asked. */
function hostOf({ host, raw }: FastifyRequest): string {
  if (host !== '') return host
  const { localAddress = '', localPort } = raw.socket
  return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`
}

interface AskedCommand {
  readonly name: string
  readonly params: JsonObject
}

async function runCommand(
  runner: CommandRunner,
  { name, params }: AskedCommand,
  isAwaited: boolean,
): Promise<CommandResult> {
  const started = await runner.execute(name, params)
  const isRunning = started.command_status === 'RUNNING'
  return isRunning && isAwaited ? runner.whenDone(started.id) : started
}

function parseCommand(body: unknown): AskedCommand {
  if (body === undefined) throw noJson(new Error('there is none'))
  const { name, params } = isObject(body) ? body : {}
  if (typeof name === 'string' && name !== '' && isObject(params)) return { name, params }
  throw new HttpFault(400, 'Bad Request', 'Missing or invalid name or params')
}

/**
 * No route: 308 where only a slash is missing, 405 where only the method is wrong, else 404.
 * @param more paths that are served besides
 */
export function sendNoRoute(
  request: FastifyRequest,
  reply: FastifyReply,
  more: readonly AllowedPath[] = [],
) {
  const [path = '', query] = splitUrl(request.url)
  if (NEED_SLASH.includes(path)) {
    return reply.redirect(query === undefined ? `${path}/` : `${path}/?${query}`, 308)
  }
  const allow = [...PATHS, ...more].find(([pattern]) => pattern.test(path))?.[1]
  const fault =
    allow === undefined
      ? new HttpFault(404, 'Not Found', 'The requested URL was not found on the server.')
      : new HttpFault(
          405,
          'Method Not Allowed',
          'The method is not allowed for the requested URL.',
          allow,
        )
  return sendFault(reply, faultOf(fault))
}

function splitUrl(url: string): [string, string | undefined] {
  const at = url.indexOf('?')
  return at < 0 ? [url, undefined] : [url.slice(0, at), url.slice(at + 1)]
}

function queryOf(request: FastifyRequest): Query {
  return isObject(request.query) ? request.query : {}
}

function isWait(request: FastifyRequest): boolean {
  const { wait } = queryOf(request)
  return typeof wait === 'string' && wait.toLowerCase() === 'true'
}
