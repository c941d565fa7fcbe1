// SPDX-License-Identifier: Apache-2.0
// Owns the library's trackers as announcer.ts asks them. Does not say when.
import type { AnnounceTarget } from '../session/announcer.ts'
import type { LibraryTracker, LibraryTrackerClient } from './types.ts'

/** One target for each announce url; empty until the library has begun. */
export function announceTargets(client: LibraryTrackerClient | null | undefined): AnnounceTarget[] {
  return (client?._trackers ?? []).map((tracker) => {
    const underWay = watchRequests(tracker)
    return {
      url: tracker.announceUrl,
      isBusy: (underWay ?? tracker.cleanupFns ?? []).length > 0,
      announce: () => tracker.announce(client?._defaultAnnounceOpts() ?? {}),
    }
  })
}

type Cleanup = () => void

const watched = new WeakMap<LibraryTracker, Cleanup[]>()

/**
 * Over HTTP the library never forgets a request that came to nobody: the tracker would count as busy for
 * ever. So we count for ourselves, and let it forget. Undefined for UDP, which forgets by itself.
 */
function watchRequests(tracker: LibraryTracker): readonly Cleanup[] | undefined {
  const known = watched.get(tracker)
  if (known !== undefined) return known
  const request = tracker._request?.bind(tracker)
  if (request === undefined || !/^https?:/.test(tracker.announceUrl)) return undefined
  const underWay: Cleanup[] = []
  watched.set(tracker, underWay)
  tracker._request = (...args) => {
    const done = request(...args)
    const own = tracker.cleanupFns?.at(-1)
    if (own === undefined || !(done instanceof Promise)) return done
    underWay.push(own)
    const settle = () => {
      underWay.splice(underWay.indexOf(own), 1)
      const left = tracker.cleanupFns ?? []
      if (!left.includes(own)) return
      for (const forget of [...left]) if (!underWay.includes(forget)) forget()
    }
    done.then(settle, settle)
    return done
  }
  return underWay
}
