// SPDX-License-Identifier: Apache-2.0
// Owns an image server for tests and laboratories: Range, ETag, TLS, auth, and every fault as an option
// that may be changed while it runs. Does not know the agent; what it answers is http-origin-answer.ts's.
import { open } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import {
  fileBody,
  memoryBody,
  planAnswer,
  refusalOf,
  send,
  takeCut,
  toBytes,
} from './http-origin-answer.ts'
import { freePort } from './processes.ts'

/** What goes wrong. Change `origin.faults` at any time; each request reads it when it begins. */
export interface HttpOriginFaults {
  /** Answer every Range with 200 and the whole body. */
  ignoreRange?: boolean
  /** Answer these statuses, one per request, before behaving again. */
  statuses?: number[]
  /** Answer this status always. */
  status?: number
  /** Sent with a 429 or 503. */
  retryAfter?: string
  /** Reset the connection (RST) after this many body bytes: one number per response, then none. */
  resetAfterBytes?: number[]
  /** Close the connection in good order (FIN) after this many body bytes, one per response. */
  truncateAfterBytes?: number[]
  /** Stop sending, but stay connected, after this many body bytes, one per response. */
  stallAfterBytes?: number[]
  /** The object ends here although it should be longer: every answer is consistent with this size. */
  objectBytes?: number
  /** Claim this total in Content-Range and HEAD, whatever the object is. */
  claimTotalBytes?: number
  /** Claim this Content-Length for a whole body. */
  claimLengthBytes?: number
  /** Shift the first byte named in Content-Range (and sent) by this much. */
  contentRangeShift?: number
  /** Send no Content-Length (chunked). */
  chunked?: boolean
  /** Invert one byte at this image offset. */
  corruptAt?: number
  /** Wait before each answer. */
  delayMs?: number
  /** Entity tag with quotes; null: none. `W/"…"` is weak. Default: strong tag of the content. */
  etag?: string | null
  /** Last-Modified; null: none. */
  lastModified?: string | null
  /** Answer 206 to If-Range although the entity changed. */
  ignoreIfRange?: boolean
  /** Answer 416 to any Range. */
  rangeNotSatisfiable?: boolean
  /** Redirect every request to this url (relative allowed). */
  redirectTo?: string
  /** Send slower than this, over all connections together. */
  rateBytesPerSecond?: number
  /** Add this header to every answer. */
  headers?: Record<string, string>
}

export interface HttpOriginOptions {
  /** The image: a file or bytes. */
  path?: string
  bytes?: Uint8Array
  /** Further small files by url path: `/image.sha256`. */
  files?: Record<string, string | Uint8Array>
  /** Redirects by url path. */
  redirects?: Record<string, string>
  faults?: HttpOriginFaults
  /** PEM; with `clientCa` a client certificate of that CA is required. */
  tls?: {
    key: string
    cert: string
    clientCa?: string
    maxVersion?: 'TLSv1.2' | 'TLSv1.3'
    ciphers?: string
  }
  /** Ask for basic credentials, or for one Authorization value verbatim. */
  auth?: { user: string; password: string } | { authorization: string }
  host?: string
  port?: number
  /** Last component of `url`. */
  name?: string
}

/** One request as it came in. */
export interface OriginRequest {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly range: string | undefined
  status: number
  bytesSent: number
}

export interface HttpOrigin extends AsyncDisposable {
  /** Of the image. */
  readonly url: string
  readonly baseUrl: string
  readonly port: number
  faults: HttpOriginFaults
  /** Body bytes given to sockets so far. */
  readonly bytesSent: number
  readonly requests: readonly OriginRequest[]
  /** Open connections now, and the most there were. */
  readonly connections: { now: number; peak: number; total: number }
  /** Replaces the image from the next request on. */
  replace(bytes: Uint8Array): void
  /** Resets all connections and refuses new ones. */
  goDown(): Promise<void>
  /** Listens again on the same port. */
  comeBack(): Promise<void>
}

function boundsOf({ maxVersion, ciphers }: NonNullable<HttpOriginOptions['tls']>) {
  return { ...(maxVersion ? { maxVersion } : {}), ...(ciphers ? { ciphers } : {}) }
}

/** Starts the origin on loopback. */
export async function createHttpOrigin(options: HttpOriginOptions): Promise<HttpOrigin> {
  const file = options.path === undefined ? undefined : await open(options.path, 'r')
  let image = file ? await fileBody(file) : memoryBody(options.bytes ?? new Uint8Array(0))
  const requests: OriginRequest[] = []
  const sockets = new Set<Socket>()
  const connections = { now: 0, peak: 0, total: 0 }
  const pace = createPace()
  let bytesSent = 0
  // one that is still free when it comes back
  const port = options.port ?? (await freePort())
  const name = options.name ?? 'image.raw'
  const host = options.host ?? '127.0.0.1'

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { faults } = origin
    const path = new URL(request.url ?? '/', 'http://x').pathname
    const record: OriginRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      range: request.headers.range,
      status: 0,
      bytesSent: 0,
    }
    requests.push(record)
    await delay(faults.delayMs ?? 0)
    const head = (status: number, headers: Record<string, string | number> = {}) => {
      record.status = status
      response.writeHead(status, { ...faults.headers, ...headers })
    }
    const refusal = refusalOf(faults, options, request, path)
    if (refusal) {
      head(refusal.status, refusal.headers)
      response.end(refusal.body)
      return
    }
    const small = options.files?.[path]
    const body = small === undefined ? image : memoryBody(toBytes(small))
    const plan = planAnswer(body, small === undefined ? faults : {}, request)
    head(plan.status, plan.headers)
    if (request.method === 'HEAD' || plan.status === 416 || plan.status === 304) {
      response.end()
      return
    }
    const cut = small === undefined ? takeCut(faults) : undefined
    await send(plan, cut, faults, body, response, (count) => {
      bytesSent += count
      record.bytesSent += count
      return pace(count, faults.rateBytesPerSecond)
    })
  }

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch(() => response.destroy())
  }
  const server = options.tls
    ? https.createServer(
        {
          key: options.tls.key,
          cert: options.tls.cert,
          ...boundsOf(options.tls),
          ...(options.tls.clientCa
            ? { ca: options.tls.clientCa, requestCert: true, rejectUnauthorized: true }
            : {}),
        },
        listener,
      )
    : http.createServer(listener)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    connections.total++
    connections.now++
    connections.peak = Math.max(connections.peak, connections.now)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      connections.now--
    })
  })
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        resolve()
      })
    })
  const goDown = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.resetAndDestroy()
    })
  await listen()
  const base = `${options.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`

  const origin: HttpOrigin = {
    url: `${base}/${name}`,
    baseUrl: base,
    port,
    faults: options.faults ?? {},
    get bytesSent() {
      return bytesSent
    },
    requests,
    connections,
    replace: (bytes) => {
      image = memoryBody(bytes)
    },
    goDown,
    comeBack: listen,
    [Symbol.asyncDispose]: async () => {
      await goDown()
      await file?.close()
    },
  }
  return origin
}

/** Waits so that all connections together keep to the rate. */
function createPace(): (count: number, rate: number | undefined) => Promise<void> {
  let freeAt = 0
  return async (count, rate) => {
    if (!rate) return
    const now = performance.now()
    freeAt = Math.max(freeAt, now) + (count * 1000) / rate
    if (freeAt - now > 5) await delay(freeAt - now)
  }
}
