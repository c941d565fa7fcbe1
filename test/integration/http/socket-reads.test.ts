// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import tls from 'node:tls'
import { expect, test } from 'vitest'
import { createSocketReads } from '../../../agent/http/socket-reads.ts'
import { createTestAuthority } from '../../support/http-certificates.ts'
import { randomBytes, sha256 } from '../../support/http-lab.ts'

const sent = randomBytes(6 * 1024 * 1024)
const WAITING = 3 * 1024 * 1024

test.each(['tcp', 'tls'])(
  'memory of a %s socket is not used again while the stream still holds it',
  async (kind) => {
    const serve = (socket: net.Socket) => {
      socket.on('error', () => {})
      socket.end(sent)
    }
    const server =
      kind === 'tls'
        ? tls.createServer((await createTestAuthority()).server, serve)
        : net.createServer(serve)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo

    const { onread, attach } = createSocketReads()
    const options = { host: '127.0.0.1', port, onread }
    const socket =
      kind === 'tls' ? tls.connect({ ...options, rejectUnauthorized: false }) : net.connect(options)
    attach(socket)
    // a reader that lets several slabs pile up before it takes any of them
    while (socket.readableLength < WAITING) {
      socket.read(0)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const parts: Uint8Array[] = []
    for await (const bytes of socket) parts.push(Uint8Array.from(bytes))
    expect(sha256(Buffer.concat(parts))).toBe(sha256(sent))
    server.close()
  },
)
