// SPDX-License-Identifier: Apache-2.0
// Owns the HTTP server below the routes: TLS, the limits of sockets and requests, and what is refused
// before it is a request. Does not know what is served.
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { systemErrorCode } from '../core/errors.ts'
import { cipherList, TLS_1_3_SUITES } from '../http/tls.ts'

export interface ApiTls {
  /** PEM texts. */
  readonly cert: string
  readonly key: string
  readonly minVersion?: '1.2' | '1.3'
  /** Option tls_cipher_suites: of TLS 1.2, separated by colons; ironic-python-agent's list if left out. */
  readonly cipherSuites?: string | null
}

/** Slow or idle clients must not hold sockets: each phase of a request has its limit, ms. */
const LIMITS = {
  headersTimeout: 20_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5000,
  // the answer without a Host is ours, with a faultstring
  requireHostHeader: false,
} as const
const TLS_LIMITS = { handshakeTimeout: 20_000 } as const

/** TLS 1.2 as ironic-python-agent allows it (contract 3.5), and all of TLS 1.3. */
const CIPHERS = [
  ...TLS_1_3_SUITES,
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':')

/** A server that does not listen yet; plain without `tls`. */
export function createHttpServer(tls: ApiTls | undefined, handler: RequestListener): Server {
  const server =
    tls === undefined
      ? createServer(LIMITS, handler)
      : createTlsServer(
          {
            ...LIMITS,
            ...TLS_LIMITS,
            cert: tls.cert,
            key: tls.key,
            minVersion: tls.minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
            ciphers: cipherList(tls.cipherSuites) ?? CIPHERS,
          },
          handler,
        )
  // what Node itself would answer without a word
  server.on('checkExpectation', (_request, response: ServerResponse) =>
    sendRawly(response, 417, 'Expectation Failed: only 100-continue is understood'),
  )
  server.on('connect', (_request, socket: Socket) =>
    refuse(socket, '405 Method Not Allowed', 'The method is not allowed for the requested URL.'),
  )
  return server
}

/** RFC 9112, 3.2: refused, and true, where HTTP/1.1 comes without a Host. */
export function refusesWithoutHost(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.httpVersion === '1.0' || request.headers.host !== undefined) return false
  sendRawly(response, 400, 'Bad Request: the request has no Host header')
  return true
}

/** What is no HTTP at all, too slow or too long is refused in the words of faults.ts. */
export function refuseRawly(error: Error, socket: Socket): void {
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
  refuse(socket, status, code ?? 'no HTTP')
}

function refuse(socket: Socket, status: string, text: string): void {
  const body = faultBody(`${status}: ${text}`)
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nconnection: close\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

function sendRawly(response: ServerResponse, status: number, text: string): void {
  const body = faultBody(`${status} ${text}`)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  response.end(body)
}

function faultBody(faultstring: string): string {
  return JSON.stringify({ faultcode: 'Client', faultstring })
}
