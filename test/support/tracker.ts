// SPDX-License-Identifier: Apache-2.0
// Owns a BitTorrent tracker for tests and laboratories: bittorrent-tracker's HTTP server.
import type { Server as HttpServer } from 'node:http'
import { Server } from 'bittorrent-tracker'

export interface Tracker extends AsyncDisposable {
  /** Announce URL. */
  readonly url: string
}

/** Starts a tracker on a free port; on loopback unless `host` says otherwise. */
export async function startTracker(host = '127.0.0.1'): Promise<Tracker> {
  // private addresses are all there are here, so it may not be told to filter them
  const server = new Server({ udp: false, http: true, ws: false, stats: false })
  server.on('error', () => {})
  // what one client sends wrong is its own business
  server.on('warning', () => {})
  await new Promise<void>((resolve, reject) => {
    server.http.once('error', reject)
    server.listen(0, host, () => resolve())
  })
  const address = server.http.address()
  if (typeof address !== 'object' || address === null) throw new Error('the tracker has no address')
  return {
    url: `http://${host}:${address.port}/announce`,
    [Symbol.asyncDispose]: () => closed(server),
  }
}

function closed(server: { http: HttpServer; close(done: () => void): void }): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.http.closeAllConnections()
  })
}
