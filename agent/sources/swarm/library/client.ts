// SPDX-License-Identifier: Apache-2.0
// Owns the life of one torrent among others' nodes: listening, being found by trackers and on the subnet, the farewell.
// What to fetch and whom to serve is the engine's.
import { AgentError, messageOf } from '../../../core/errors.ts'
import type { TrackerFigures } from '../../../core/events.ts'
import type { AnnounceFigures } from '../announce/announcement.ts'
import type { TrackerNews } from '../announce/tracker.ts'
import { type AnnounceTarget, startTrackers, type Trackers } from '../announce/trackers.ts'
import { createLocalDiscovery, type LocalDiscovery } from '../peers/local-discovery.ts'
import type { SwarmTask } from '../swarm-task.ts'
import {
  type AddedTorrent,
  type AddedTorrentDeps,
  addTorrent,
  isNeighbourNow,
} from './added-torrent.ts'
import type { LibraryClient, LibraryTorrent } from './types.ts'
import { asError, createLibraryClient, destroyWithin } from './web-torrent.ts'

export interface SwarmClientOptions extends AddedTorrentDeps {
  readonly task: Pick<SwarmTask, 'torrent' | 'node' | 'limits' | 'http'>
  figures(): AnnounceFigures
  /** A tracker counts this many nodes. */
  onSwarmSize(nodes: number): void
  onTracker(news: TrackerNews): void
  /** The library gave the torrent up. */
  onFailure(error: Error): void
}

export interface SwarmClient {
  readonly port: number
  readonly trackers: readonly AnnounceTarget[]
  trackerFigures(): TrackerFigures[]
  /** One of them has answered. */
  readonly isKnownToTracker: boolean
  /** The piece is on the disk: new peers learn of it from the bitfield. */
  markHave(piece: number): void
  /** Everything is on the disk: tells the trackers. */
  markComplete(): void
  /** Tells those who are connected, and those to come, the name of our rack. */
  nameRack(rack: string): void
  /** Says goodbye to trackers and peers; resolves after `deadlineMs` at the latest. */
  close(deadlineMs: number): Promise<void>
}

/** Starts listening and announcing. Throws SwarmError if the library refuses the torrent or the port. */
export async function openSwarmClient(options: SwarmClientOptions): Promise<SwarmClient> {
  const { task, peerId, maxConns } = options
  const client = createLibraryClient({ peerId, maxConns, port: task.node.listenPort })
  let fail: (error: Error) => void = options.onFailure
  const failure = new Promise<never>((_, reject) => {
    fail = (error) => {
      options.onFailure(error)
      reject(error)
    }
  })
  client.on('error', (error) => fail(asError(error)))
  try {
    const added = addTorrent(client, options, fail)
    await Promise.race([readyOf(added.torrent, options), failure])
    return createClient(client, added, options)
  } catch (error) {
    await destroyWithin(client, 1000)
    throw new AgentError('SwarmError', `the swarm client cannot start: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** Resolves when peers may come and hear of what is on the disk. */
function readyOf(torrent: LibraryTorrent, { task }: SwarmClientOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    torrent.on('ready', () => {
      if (torrent.infoHash !== task.torrent.metainfo.infoHash) {
        reject(new Error(`the library computes the info-hash ${torrent.infoHash}`))
        return
      }
      resolve()
    })
  })
}

function createClient(
  client: LibraryClient,
  { torrent, rack, newcomers, pieces }: AddedTorrent,
  options: SwarmClientOptions,
): SwarmClient {
  const trackers = openTrackers(client, torrent, options, () => local?.noteTrackerAnswer())
  const local = discoverLocally(client, torrent, trackers.targets.length > 0, options)
  return {
    port: client.torrentPort,
    trackers: trackers.targets,
    trackerFigures: trackers.figures,
    get isKnownToTracker() {
      return trackers.isKnown
    },
    markHave: (piece) => {
      pieces.add(piece)
      newcomers.noteHave(piece)
    },
    markComplete: () => {
      if (!torrent.destroyed) torrent._checkDone()
      trackers.complete()
    },
    nameRack: (name) => {
      if (!torrent.destroyed) rack.name(name)
    },
    close: async (deadlineMs) => {
      local?.close()
      await Promise.all([trackers.close(deadlineMs), destroyWithin(client, deadlineMs)])
    },
  }
}

function openTrackers(
  client: LibraryClient,
  torrent: LibraryTorrent,
  options: SwarmClientOptions,
  onAnswer: () => void,
): Trackers & { readonly isKnown: boolean } {
  const { task, peerId, figures } = options
  let isKnown = false
  // BEP 3: who has begun with everything has not completed it
  const wasComplete = figures().left === 0
  const trackers = startTrackers({
    urls: task.torrent.trackers.flat(),
    http: task.http,
    infoHash: task.torrent.metainfo.infoHash,
    peerId,
    port: client.torrentPort,
    figures,
    onAnswer: ({ peers, nodes }) => {
      isKnown = true
      onAnswer()
      if (nodes !== undefined) options.onSwarmSize(nodes)
      for (const address of peers) if (!torrent.destroyed) torrent.addPeer(address, 'tracker')
    },
    onNews: options.onTracker,
    onRemark: (tracker, words) => options.onWarning(`${tracker} says: ${words}`),
    now: () => performance.now(),
  })
  return {
    ...trackers,
    complete: () => {
      if (!wasComplete) trackers.complete()
    },
    get isKnown() {
      return isKnown
    },
  }
}

function discoverLocally(
  client: LibraryClient,
  torrent: LibraryTorrent,
  hasTrackers: boolean,
  { task, figures, onWarning }: SwarmClientOptions,
): LocalDiscovery | undefined {
  const { lsd: mode } = task.node.nearby
  const { infoHash, isPrivate } = task.torrent.metainfo
  // BEP 27: peers of a private torrent come from its trackers alone, unless the operator says otherwise
  if (mode === 'off' || (mode === 'auto' && isPrivate)) return undefined
  const discovery = createLocalDiscovery({
    mode,
    hasTrackers,
    infoHash,
    port: client.torrentPort,
    isDownloading: () => figures().left > 0,
    isNeighbour: isNeighbourNow,
    onPeer: (address) => {
      if (!torrent.destroyed) torrent.addPeer(address, 'lsd')
    },
    onTrouble: onWarning,
    random: Math.random,
    now: () => performance.now(),
  })
  return discovery
}
