// SPDX-License-Identifier: Apache-2.0
// Owns an HTTP server for tests that sends what it is told, byte by byte: answers that no well-behaved server
// gives. Reads requests, knows nothing else of HTTP.
import net, { type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface RawRequest {
  /** `GET /image.raw HTTP/1.1` */
  readonly line: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface RawServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly requests: readonly RawRequest[]
}

/**
 * Listens on loopback. `answer` writes to the socket whatever it likes; what it throws is a closed connection.
 */
export async function createRawServer(
  answer: (request: RawRequest, socket: Socket) => unknown,
  host = '127.0.0.1',
): Promise<RawServer> {
  const requests: RawRequest[] = []
  const sockets = new Set<Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    let received = ''
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      received += text
      for (let request = parse(received); request; request = parse(received)) {
        received = received.slice(request.length)
        requests.push(request)
        Promise.resolve(request)
          .then((next) => answer(next, socket))
          .catch(() => socket.destroy())
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${host}:${port}/image.raw`,
    port,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** Sends `head`, then `part` again and again until the connection is gone. */
export async function drip(
  socket: Socket,
  head: string,
  part: string | Uint8Array,
  everyMs: number,
) {
  socket.write(head)
  while (!socket.destroyed) {
    await delay(everyMs)
    socket.write(part)
  }
}

function parse(text: string): (RawRequest & { readonly length: number }) | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [line = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((each) => {
      const colon = each.indexOf(':')
      return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()]
    }),
  )
  const bodyAt = end + 4
  const length = bodyAt + Number(headers['content-length'] ?? 0)
  if (text.length < length) return undefined
  return { line, headers, body: text.slice(bodyAt, length), length }
}
