// SPDX-License-Identifier: Apache-2.0
// Owns a small real forward proxy for tests: absolute-form requests and CONNECT tunnels.
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { pipeline } from 'node:stream'

export interface TestProxy extends AsyncDisposable {
  readonly url: string
  /** `GET http://…` and `CONNECT host:port` as they came in. */
  readonly requests: readonly string[]
}

/** @param options `auth` is `user:password`; `tls` makes it a proxy that is itself spoken to by TLS */
export async function createTestProxy(
  options: { auth?: string; tls?: { key: string; cert: string } } = {},
): Promise<TestProxy> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const isAllowed = (request: http.IncomingMessage) =>
    options.auth === undefined ||
    request.headers['proxy-authorization'] ===
      `Basic ${Buffer.from(options.auth).toString('base64')}`
  const server = options.tls ? https.createServer(options.tls) : http.createServer()
  server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
    requests.push(`${request.method} ${request.url}`)
    if (!isAllowed(request)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic' }).end()
      return
    }
    const { 'proxy-authorization': _, ...headers } = request.headers
    const onward = http.request(
      request.url ?? '',
      { method: request.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        pipeline(answer, response, () => {})
      },
    )
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connect', (request: http.IncomingMessage, client: Socket) => {
    requests.push(`CONNECT ${request.url}`)
    client.on('error', () => {})
    if (!isAllowed(request)) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const target = new URL(`http://${request.url}`)
    const onward = net.connect(Number(target.port), target.hostname.replace(/^\[|\]$/g, ''), () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.pipe(client)
      client.pipe(onward)
    })
    sockets.add(onward)
    onward.on('error', () => client.destroy())
    client.on('close', () => onward.destroy())
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
