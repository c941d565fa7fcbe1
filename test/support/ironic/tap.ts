// SPDX-License-Identifier: Apache-2.0
// Owns listening in on HTTP between a conductor and an agent: whatever is asked of the tap is asked of the target, and noted as
// the traces under test/fixtures/traces have it. Does not know what is said.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Exchange {
  /** Seconds since the recording began. */
  readonly t: number
  readonly dir: 'agent->ironic' | 'ironic->agent'
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
  readonly status: number
  readonly resp: unknown
}

export interface Tap extends AsyncDisposable {
  readonly port: number
  readonly url: string
}

/** Of one hop, or of the answer as it was sent. */
const LEFT_OUT = ['connection', 'content-length', 'host', 'transfer-encoding', 'accept-encoding']

/** @param target where it goes on to, without a slash at the end; a target that is gone is nobody who answers */
export async function openTap(
  dir: Exchange['dir'],
  target: string,
  note: (exchange: Omit<Exchange, 't'>) => void,
  port = 0,
): Promise<Tap> {
  const server = createServer(async (request, response) => {
    const { method = 'GET', url = '/' } = request
    const headers = kept(request.headers)
    const body = await textOf(request)
    const answer = await fetch(target + url, {
      method,
      headers,
      ...(body === '' ? {} : { body }),
    }).catch(() => undefined)
    // as the kernel refuses a connection
    if (answer === undefined) {
      request.socket.destroy()
      return
    }
    const text = await answer.text()
    const resp = jsonOf(text)
    note({ dir, method, path: url, headers, body: jsonOf(body), status: answer.status, resp })
    response.writeHead(answer.status, kept(Object.fromEntries(answer.headers))).end(text)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const bound = (server.address() as AddressInfo).port
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function kept(headers: Readonly<Record<string, string | string[] | undefined>>) {
  const pairs = Object.entries(headers).filter(
    ([name, value]) => value !== undefined && !LEFT_OUT.includes(name),
  )
  return Object.fromEntries(pairs.map(([name, value]) => [name, String(value)]))
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function jsonOf(text: string): unknown {
  return text === '' ? null : JSON.parse(text)
}
