// SPDX-License-Identifier: Apache-2.0
// Owns the only import of webtorrent: how it is set up, and how it ends. Of it we use listening,
// connecting, handshakes and PEX; its trackers, picker, choker and web seeds are switched off.
import WebTorrent from 'webtorrent'
import type { LibraryClient, LibraryListener } from './types.ts'

/**
 * Connections that have not said which torrent they want: as many as the kernel holds for us at a time (listen(2)).
 * The library waits 25 s for each of any number, which would use up the descriptors of the whole process.
 */
const MAX_STRANGERS = 511

/** Listens as soon as it is given a torrent. @param options.port 0 for any */
export function createLibraryClient(options: {
  readonly peerId: string
  readonly port: number
  readonly maxConns: number
}): LibraryClient {
  const client = new WebTorrent({
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
    tracker: false,
  }) as LibraryClient
  limitStrangers(client._connPool)
  return client
}

/** Of too many the first goes: who has something to say says it at once. */
function limitStrangers(listener: LibraryListener): void {
  listener.tcpServer.on('connection', () => {
    const strangers = listener._pendingConns
    if (strangers === null || strangers.size <= MAX_STRANGERS) return
    // those that were closed in this turn are still counted
    const first = [...strangers].find(({ destroyed }) => !destroyed)
    first?.destroy()
  })
}

/** Says goodbye to peers; resolves after `deadlineMs` at the latest. */
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
