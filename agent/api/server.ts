// SPDX-License-Identifier: Apache-2.0
// Owns the agent's REST API as a listening server: its parts, its request log, its end. The routes are in
// routes.ts, sockets and TLS in http-server.ts. Does not run commands.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { CommandRunner } from '../commands/runner.ts'
import { cutAnywhere } from '../core/cut-text.ts'
import { messageOf, systemErrorCode } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { redactText } from '../core/redact.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type MetricLogger, NO_METRICS } from '../telemetry/statsd.ts'
import { addBodyParser } from './body-parser.ts'
import { type Connections, createConnections } from './connections.ts'
import { faultOf, sendFault } from './faults.ts'
import { type ApiTls, createHttpServer, refuseRawly, refusesWithoutHost } from './http-server.ts'
import { addRoutes, sendNoRoute } from './routes.ts'
import { createUnreadAnswers, type UnreadAnswers } from './unread-answers.ts'
import { addWatching, type WatchingOptions } from './watching/routes.ts'

export interface ApiServerOptions {
  readonly runner: CommandRunner
  readonly tokens: TokenKeeper
  /** More fields of `/v1/status`: progress and the like; never a secret, anyone may read it. */
  readonly status: () => JsonObject
  readonly version: string
  /** Unix seconds. */
  readonly startedAt: number
  readonly tls?: ApiTls | undefined
  /** Where the calls are timed; nowhere without it. */
  readonly metrics?: MetricLogger
  /** What people and their programs look at; without it there is the API alone. */
  readonly watching?: WatchingOptions | undefined
  readonly log: Logger
}

export interface ApiServer {
  /**
   * Both IP versions when `host` is null and IPv6 is there. Resolves to where it listens. Throws the
   * system's error (EADDRINUSE, EACCES).
   */
  listen(address: { host: string | null; port: number }): Promise<{ host: string; port: number }>
  /** Resolves once no request is under way and its answer has been sent, or after `deadlineMs`. */
  drained(deadlineMs: number): Promise<void>
  /** Ends every open connection; answers under way are lost. */
  close(): Promise<void>
}

interface Guards {
  readonly connections: Connections
  readonly unread: UnreadAnswers
}

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { log } = options
  const guards = {
    connections: createConnections(),
    unread: createUnreadAnswers(() => performance.now()),
  }
  const app = createApp(options.tls, guards)
  app.server.on('connection', (socket: Socket) => guards.connections.admit(socket))
  logRequests(app, log)
  const watching = options.watching && addWatching(app, options.watching)
  app.setNotFoundHandler((request, reply) => sendNoRoute(request, reply, watching?.paths))
  addBodyParser(app, options.runner)
  addRoutes(app, { metrics: NO_METRICS, ...options, ...guards, page: watching?.page })
  return {
    listen: async ({ host, port }) => {
      if (host !== null) return await bind(app, host, port)
      try {
        return await bind(app, '::', port)
      } catch (error) {
        if (!['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(systemErrorCode(error) ?? '')) throw error
        log.info({ reason: messageOf(error) }, 'no ipv6, listening on ipv4')
        return await bind(app, '0.0.0.0', port)
      }
    },
    drained: async (deadlineMs) => {
      // an answer that has no end of its own
      watching?.clients.endAll()
      await guards.connections.drained(deadlineMs)
    },
    close: async () => {
      const closed = app.close()
      watching?.clients[Symbol.dispose]()
      guards.connections.closeAll()
      guards.unread[Symbol.dispose]()
      await closed
    },
  }
}

/** Each request that was answered, and why one was not as it should be. */
function logRequests(app: FastifyInstance, log: Logger): void {
  app.addHook('onResponse', async (request, reply) => {
    const fields = {
      peer: request.ip,
      method: request.method,
      path: shownPath(request.url),
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime),
    }
    log.debug(fields, 'request served')
  })
  app.setErrorHandler((error, request, reply) => {
    const fault = faultOf(error)
    if (fault.status >= 500) {
      log.error({ err: error, path: shownPath(request.url) }, 'request failed')
    }
    return sendFault(reply, fault)
  })
}

async function bind(app: FastifyInstance, host: string, port: number) {
  await app.listen({ host, port })
  const bound = app.server.address()
  if (bound === null || typeof bound === 'string') return { host, port }
  return { host: bound.address, port: bound.port }
}

/** Longest path in a log line, characters; ours have 50. */
const MAX_PATH_CHARS = 256

/** Without the query, which holds the agent token; anybody may send a path of 16 KiB, as often as they like. */
function shownPath(url: string): string {
  return cutAnywhere(redactText(url.split('?', 1)[0] as string), MAX_PATH_CHARS)
}

/** fastify on a server of ours: what is too much or no request does not reach it. */
function createApp(tls: ApiTls | undefined, guards: Guards): FastifyInstance {
  const isFit = (request: IncomingMessage, response: ServerResponse) => {
    const { connections, unread } = guards
    if (!connections.begin(request, response, () => unread.forget(response))) return false
    unread.watch(request, response)
    return !refusesWithoutHost(request, response)
  }
  return fastify({
    logger: false,
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: false },
    return503OnClosing: false,
    serverFactory: (handler) =>
      createHttpServer(tls, (request, response) => {
        if (isFit(request, response)) handler(request, response)
      }),
    frameworkErrors: (error: Error, _request: unknown, reply: unknown) => {
      void sendFault(reply as FastifyReply, faultOf(error))
    },
    clientErrorHandler: (error: Error, socket: Socket) => refuseRawly(error, socket),
  })
}
