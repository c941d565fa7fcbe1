// SPDX-License-Identifier: Apache-2.0
// Owns the only import of webtorrent: how it is set up, and how it ends. Of it we use listening,
// connecting, handshakes, trackers and PEX; its picker, choker and web seeds are switched off.
import WebTorrent from 'webtorrent'
import type { LibraryClient } from './types.ts'

/** More than connections, so that neighbours are among them; opentracker gives no more. */
const WANTED_ADDRESSES = 200

/** What trackers are told, bytes. */
export interface AnnounceFigures {
  readonly uploaded: number
  readonly downloaded: number
  readonly left: number
}

/** Listens as soon as it is given a torrent. @param options.port 0 for any */
export function createLibraryClient(options: {
  readonly peerId: string
  readonly port: number
  readonly maxConns: number
  figures(): AnnounceFigures
}): LibraryClient {
  return new WebTorrent({
    peerId: options.peerId,
    torrentPort: options.port,
    // ours to keep (connection-room.ts): those that were just closed still count for the library
    maxConns: 2 * options.maxConns,
    // TCP and trackers only, local discovery is ours: nothing of this leaves the deploy network, and
    // secure:1 never falls back to plain text with peers that know no encryption
    dht: false,
    lsd: false,
    utp: false,
    natUpnp: false,
    natPmp: false,
    webSeeds: false,
    secure: 0,
    utPex: true, // switched off by the library for private torrents (BEP 27)
    tracker: {
      getAnnounceOpts: () => ({ ...options.figures(), numwant: WANTED_ADDRESSES }),
      wrtc: false,
    },
  }) as LibraryClient
}

/** Says goodbye to trackers and peers; resolves after `deadlineMs` at the latest. */
export function destroyWithin(client: LibraryClient, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, deadlineMs)
    client.destroy(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** The library also emits texts as errors. */
export function asError(error: Error | string): Error {
  return error instanceof Error ? error : new Error(String(error))
}
