// SPDX-License-Identifier: Apache-2.0
// Owns the agent's REST API as a listening server: sockets, TLS, limits, request log. The routes are in
// routes.ts. Does not run commands.
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { CommandRunner } from '../commands/runner.ts'
import { messageOf, systemErrorCode } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { redactBounded } from '../core/redact.ts'
import { MiB } from '../core/units.ts'
import type { TokenKeeper } from '../ironic/agent-token.ts'
import type { Logger } from '../telemetry/logger.ts'
import { faultOf, sendFault } from './faults.ts'
import { addRoutes, sendNoRoute } from './routes.ts'

export interface ApiTls {
  /** PEM texts. */
  readonly cert: string
  readonly key: string
  readonly minVersion?: '1.2' | '1.3'
}

export interface ApiServerOptions {
  readonly runner: CommandRunner
  readonly tokens: TokenKeeper
  /** More fields of `/v1/status`: progress and the like; never a secret, anyone may read it. */
  readonly status: () => JsonObject
  readonly version: string
  /** Unix seconds. */
  readonly startedAt: number
  readonly tls?: ApiTls | undefined
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

/**
 * A request carries up to three copies of the config drive (both arguments of write_image and the node's
 * instance_info), base64: this is room for 32 MiB of them each after packing, where ordinary ones have
 * some KiB. Only who knows the token gets to send a body at all.
 */
const MAX_BODY_BYTES = 128 * MiB

/** Slow or idle clients must not hold sockets: each phase of a request has its limit, ms. */
const LIMITS = {
  headersTimeout: 20_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5000,
  handshakeTimeout: 20_000,
  maxConnections: 256,
} as const

/** TLS 1.2 as ironic-python-agent allows it (contract 3.5), and all of TLS 1.3. */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':')

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { log } = options
  const app = createApp(options.tls)
  app.server.maxConnections = LIMITS.maxConnections
  // The server itself does not count connections that are still in their TLS handshake.
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const drained = trackAnswers(app.server)
  app.addHook('onResponse', async (request, reply) => {
    const fields = {
      peer: request.ip,
      method: request.method,
      path: shownPath(request.url),
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime),
    }
    log.info(fields, 'request served')
  })
  app.setErrorHandler((error, request, reply) => {
    const fault = faultOf(error)
    if (fault.status >= 500) {
      log.error({ err: error, path: shownPath(request.url) }, 'request failed')
    }
    return sendFault(reply, fault)
  })
  app.setNotFoundHandler(sendNoRoute)
  // Whatever the content type says, a body is JSON (contract 4.2); even where it is no media type.
  app.addHook('onRequest', async (request) => {
    request.raw.headers['content-type'] = 'application/json'
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  )
  addRoutes(app, options)

  const bind = async (host: string, port: number) => {
    await app.listen({ host, port })
    const bound = app.server.address()
    if (bound === null || typeof bound === 'string') return { host, port }
    return { host: bound.address, port: bound.port }
  }

  return {
    listen: async ({ host, port }) => {
      if (host !== null) return bind(host, port)
      try {
        return await bind('::', port)
      } catch (error) {
        if (!['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(systemErrorCode(error) ?? '')) throw error
        log.info({ reason: messageOf(error) }, 'no ipv6, listening on ipv4')
        return bind('0.0.0.0', port)
      }
    },
    drained,
    close: async () => {
      const closed = app.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** Longest path in a log line, characters; ours have 50. */
const MAX_PATH_CHARS = 256

/** Without the query, which holds the agent token; anybody may send a path of 16 KiB, as often as they like. */
function shownPath(url: string): string {
  return redactBounded(url.split('?', 1)[0] as string, MAX_PATH_CHARS)
}

/** Counts the requests whose answer has not left yet; see {@link ApiServer.drained}. */
function trackAnswers(server: FastifyInstance['server']): ApiServer['drained'] {
  const underWay = new Set<ServerResponse>()
  const events = new EventEmitter()
  server.on('request', (_request, response: ServerResponse) => {
    underWay.add(response)
    // comes after the last byte went to the kernel, and for answers that nobody waits for any more
    response.once('close', () => {
      underWay.delete(response)
      if (underWay.size === 0) events.emit('drained')
    })
  })
  return async (deadlineMs) => {
    if (underWay.size === 0) return
    await once(events, 'drained', { signal: AbortSignal.timeout(deadlineMs) }).catch(
      () => undefined,
    )
  }
}

function createApp(tls: ApiTls | undefined): FastifyInstance {
  const common = {
    logger: false as const,
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true as const,
    keepAliveTimeout: LIMITS.keepAliveTimeout,
    requestTimeout: LIMITS.requestTimeout,
    routerOptions: { ignoreTrailingSlash: false },
    return503OnClosing: false,
    frameworkErrors: (error: Error, _request: unknown, reply: unknown) => {
      void sendFault(reply as FastifyReply, faultOf(error))
    },
    clientErrorHandler: (error: Error, socket: Socket) => refuseRawly(error, socket),
  }
  const { headersTimeout, connectionsCheckingInterval, handshakeTimeout } = LIMITS
  if (tls === undefined) {
    return fastify({ ...common, http: { headersTimeout, connectionsCheckingInterval } })
  }
  return fastify({
    ...common,
    https: {
      cert: tls.cert,
      key: tls.key,
      minVersion: tls.minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
      ciphers: CIPHERS,
      headersTimeout,
      connectionsCheckingInterval,
      handshakeTimeout,
    },
  }) as unknown as FastifyInstance
}

/** What is no HTTP at all, too slow or too long is refused below the routes, in the same words. */
function refuseRawly(error: Error, socket: Socket): void {
  const code = systemErrorCode(error)
  // Without a finished handshake nothing can be said, and ending politely would wait for it.
  const isTlsError = /^(ERR_TLS|ERR_SSL|EPROTO)/.test(code ?? '')
  if (code === 'ECONNRESET' || isTlsError || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request'
  const body = JSON.stringify({
    faultcode: 'Client',
    faultstring: `${status}: ${code ?? 'no HTTP'}`,
  })
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}
