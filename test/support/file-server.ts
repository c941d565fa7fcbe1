// SPDX-License-Identifier: Apache-2.0
// Owns an HTTP server for a folder, as a conductor has one beside it: GET and HEAD of whole files,
// streamed. Images come from http-origin.ts, which can do more.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

export interface FileServer extends AsyncDisposable {
  readonly url: string
  /** Paths asked for so far, in order. */
  readonly requests: readonly string[]
}

/** Serves `folder`; links in it are followed. */
export async function startFileServer(folder: string, host = '127.0.0.1'): Promise<FileServer> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    // URL resolves `..` away, so nothing outside of the folder has a name
    const path = new URL(request.url ?? '/', 'http://x').pathname
    requests.push(path)
    const answer = async () => {
      const file = join(folder, path)
      const found = await stat(file).catch(() => undefined)
      if (!found?.isFile()) return void response.writeHead(404).end()
      response.writeHead(200, { 'content-length': found.size })
      if (request.method === 'HEAD') return void response.end()
      await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), response)
    }
    answer().catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${host}:${port}`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
