// SPDX-License-Identifier: Apache-2.0
// Owns the routes of the REST API, with their authentication, redirects and refusals (contract 4.1, 4.2,
// 4.5). Does not know sockets or TLS.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CommandResult } from '../commands/command.ts'
import type { CommandRunner } from '../commands/runner.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import { rootDocument, versionDocument } from './documents.ts'
import { faultOf, HttpFault, sendFault } from './faults.ts'

export interface RouteOptions {
  readonly runner: CommandRunner
  readonly tokens: TokenKeeper
  readonly status: () => JsonObject
  readonly version: string
  /** Unix seconds. */
  readonly startedAt: number
}

type Query = Readonly<Record<string, unknown>>

/** Path patterns and what they allow, for 405; the first that matches. */
const PATHS: readonly (readonly [RegExp, string])[] = [
  [/^\/(v1\/)?$/, 'GET, HEAD'],
  [/^(\/v1)?\/status$/, 'GET, HEAD'],
  [/^(\/v1)?\/commands\/$/, 'GET, HEAD, POST'],
  [/^(\/v1)?\/commands\/[^/]+$/, 'GET, HEAD'],
]

/** Without their slash they are redirected, POST included: 308 keeps method and body (contract 4.1). */
const NEED_SLASH = ['/v1', '/v1/commands', '/commands']

export function addRoutes(app: FastifyInstance, options: RouteOptions): void {
  const { runner } = options
  const guardGet = createGetGuard(options.tokens)
  const guardPost = async (request: FastifyRequest) => checkToken(options.tokens, request)

  app.get('/', async (request) => rootDocument(request.protocol, request.host))
  app.get('/v1/', async (request) => versionDocument(request.protocol, request.host))
  for (const prefix of ['/v1', '']) {
    app.get(`${prefix}/status`, async () => ({
      ...options.status(),
      started_at: options.startedAt,
      version: options.version,
    }))
    const guarded = { onRequest: guardGet }
    app.get(`${prefix}/commands/`, guarded, async () => ({ commands: runner.list() }))
    app.get<{ Params: { id: string } }>(`${prefix}/commands/:id`, guarded, async (request) => {
      const { id } = request.params
      return isWait(request) ? runner.whenDone(id) : runner.get(id)
    })
    // The token is checked before a byte of the body is read.
    app.post(`${prefix}/commands/`, { onRequest: guardPost }, async (request) =>
      runCommand(runner, request),
    )
  }
}

/**
 * GET is open until a request shows a valid token and closed from then on: conductors up to 21.4 send
 * none, later ones always do (contract 4.5).
 */
function createGetGuard(tokens: TokenKeeper) {
  let isClosed = false
  return async (request: FastifyRequest): Promise<void> => {
    if (!isClosed && queryOf(request)['agent_token'] === undefined) return
    checkToken(tokens, request)
    isClosed = true
  }
}

function checkToken(tokens: TokenKeeper, request: FastifyRequest): void {
  if (tokens.verify(queryOf(request)['agent_token'])) return
  throw new AgentError('Unauthorized', 'Token invalid.')
}

async function runCommand(runner: CommandRunner, request: FastifyRequest): Promise<CommandResult> {
  const { name, params } = parseCommand(request.body)
  const started = await runner.execute(name, params)
  return isWait(request) ? runner.whenDone(started.id) : started
}

function parseCommand(body: unknown): { name: string; params: JsonObject } {
  let parsed: unknown
  try {
    parsed = JSON.parse(body instanceof Uint8Array ? Buffer.from(body).toString('utf8') : '')
  } catch (error) {
    // JSON.parse quotes the text around the error, which may be part of a secret.
    const reason = messageOf(error).replace(/".*"/s, '…')
    throw new HttpFault(400, 'Bad Request', `Failed to decode JSON object: ${reason}`)
  }
  const { name, params } = isObject(parsed) ? parsed : {}
  if (typeof name === 'string' && name !== '' && isObject(params)) return { name, params }
  throw new HttpFault(400, 'Bad Request', 'Missing or invalid name or params')
}

/** No route: 308 where only a slash is missing, 405 where only the method is wrong, else 404. */
export function sendNoRoute(request: FastifyRequest, reply: FastifyReply) {
  const [path = '', query] = splitUrl(request.url)
  if (NEED_SLASH.includes(path)) {
    return reply.redirect(query === undefined ? `${path}/` : `${path}/?${query}`, 308)
  }
  const allow = PATHS.find(([pattern]) => pattern.test(path))?.[1]
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
