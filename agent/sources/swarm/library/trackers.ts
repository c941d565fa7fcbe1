// SPDX-License-Identifier: Apache-2.0
// Owns the library's trackers: their start, their requests, and who answers for these. Does not say when
// they are asked; announcer.ts does.
import { messageOf } from '../../../core/errors.ts'
import type { LibraryDiscovery, LibraryTracker, LibraryTrackerClient } from './types.ts'

export interface AnnounceTarget {
  readonly url: string
  /** An answer is awaited. */
  readonly isBusy: boolean
  announce(): void
}

export interface TrackerEvents {
  /** A tracker counts this many nodes. */
  onSwarmSize(nodes: number): void
  /** A request ended in a way that the library does not expect. The next one is independent of it. */
  onTrouble(message: string): void
}

/**
 * Announces to these urls; call once, for a torrent without any. The library would announce in the moment
 * it makes its trackers, before anybody could answer for what comes of it: over HTTP an answer that breaks
 * off, stalls or makes no sense rejects a promise that nobody holds.
 * @returns what to ask again, one for each url the library can announce to
 */
export function startTrackers(
  discovery: LibraryDiscovery,
  urls: readonly string[],
  { onSwarmSize, onTrouble }: TrackerEvents,
): AnnounceTarget[] {
  const TrackerClient = discovery.tracker.constructor
  const client = new TrackerClient({
    ...discovery._trackerOpts,
    infoHash: discovery.infoHash,
    announce: urls,
    peerId: discovery.peerId,
    port: discovery._port,
    userAgent: discovery._userAgent,
  })
  const targets = client._trackers.map((tracker) => createTarget(client, tracker, onTrouble))
  client.on('warning', discovery._onWarning)
  client.on('error', discovery._onError)
  client.on('peer', discovery._onTrackerPeer)
  client.on('update', discovery._onTrackerAnnounce)
  client.on('update', ({ complete, incomplete }) => {
    const nodes = Number(complete) + Number(incomplete)
    if (Number.isSafeInteger(nodes)) onSwarmSize(nodes)
  })
  // from here on the library's: what is said at the end of the torrent, and of the download
  discovery.tracker = client
  client.setInterval(discovery._intervalMs)
  client.start()
  return targets
}

type Cleanup = () => void

function createTarget(
  client: LibraryTrackerClient,
  tracker: LibraryTracker,
  onTrouble: (message: string) => void,
): AnnounceTarget {
  const underWay = new Set<Cleanup>()
  let isHttp = false
  const request = tracker._request.bind(tracker)
  tracker._request = (...args) => {
    const done = request(...args)
    // a promise is HTTP's: however the url is spelt, URL decides which protocol it names
    if (!(done instanceof Promise)) return done
    isHttp = true
    const own = tracker.cleanupFns.at(-1)
    if (own) underWay.add(own)
    done
      .catch((error: unknown) => onTrouble(messageOf(error)))
      .finally(() => {
        if (own === undefined) return
        underWay.delete(own)
        forget(tracker, own, underWay)
      })
    return done
  }
  return {
    url: tracker.announceUrl,
    get isBusy() {
      return isHttp ? underWay.size > 0 : tracker.cleanupFns.length > 0
    },
    announce: () => tracker.announce(client._defaultAnnounceOpts()),
  }
}

/**
 * Over HTTP the library never forgets a request that came to nobody: the tracker would count as busy for
 * ever. So we count for ourselves, and let it forget. Over UDP it forgets by itself.
 */
function forget(tracker: LibraryTracker, ended: Cleanup, underWay: ReadonlySet<Cleanup>): void {
  const left = [...tracker.cleanupFns]
  if (!left.includes(ended)) return
  for (const each of left) if (!underWay.has(each)) each()
}
