// SPDX-License-Identifier: Apache-2.0
// Owns the types of bittorrent-tracker as far as tests use it; the package ships none.
declare module 'bittorrent-tracker' {
  import type { EventEmitter } from 'node:events'
  import type { Server as HttpServer } from 'node:http'

  export class Server extends EventEmitter {
    constructor(options: { udp: boolean; http: boolean; ws: boolean; stats: boolean })
    readonly http: HttpServer
    listen(port: number, host: string, done: () => void): void
    close(done: () => void): void
  }
}
