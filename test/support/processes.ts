// SPDX-License-Identifier: Apache-2.0
// Owns what every test with processes needs: free ports and an orderly end.
import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * A TCP port of loopback that is free, and stays so until somebody listens on it: none that the kernel gives to
 * others in the meantime (ip_local_port_range begins at 32768), or to a connection that is being made to it.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const port = await listenOnce(randomInt(20_000, 32_000)).catch(() => undefined)
    if (port !== undefined) return port
  }
  throw new Error('no free TCP port between 20000 and 32000')
}

function listenOnce(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** Ends a child: SIGTERM, after 10 s SIGKILL; resolves when it is gone. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(timer)
}
