// SPDX-License-Identifier: Apache-2.0
// Owns listening in on HTTP between a conductor and an agent: whatever is asked of the tap is asked of the target, and noted as
// the traces under test/fixtures have it. Does not know what is said.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Exchange {
  /** Seconds since the recording began. */
  readonly t: number
  /** The operator's calls are no one's to answer; they tell what came of the others. */
  readonly dir: 'agent->ironic' | 'ironic->agent' | 'operator->ironic'
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
): Promise<Tap> {
  return await listenAs(async ({ method, path, headers, body, text: sent }) => {
    const answer = await fetch(target + path, {
      method,
      headers,
      ...(sent === '' ? {} : { body: sent }),
    }).catch(() => undefined)
    if (answer === undefined) return undefined
    const text = await answer.text()
    note({ dir, method, path, headers, body, status: answer.status, resp: jsonOf(text) })
    return { status: answer.status, headers: kept(Object.fromEntries(answer.headers)), text }
  })
}

export interface Call extends Pick<Exchange, 'method' | 'path' | 'headers' | 'body'> {
  /** The body as it came. */
  readonly text: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** Listens on loopback; without an answer the connection is cut, as the kernel refuses one. */
export async function listenAs(
  answerTo: (call: Call) => Promise<Answer | undefined>,
): Promise<Tap> {
  const server = createServer(async (request, response) => {
    const { method = 'GET', url: path = '/' } = request
    const text = await textOf(request)
    const call = { method, path, headers: kept(request.headers), body: jsonOf(text), text }
    const answer = await answerTo(call)
    if (answer === undefined) request.socket.destroy()
    else response.writeHead(answer.status, answer.headers).end(answer.text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
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
