// SPDX-License-Identifier: Apache-2.0
// Owns one torrent inside of the worker: engine, client, trackers, arena, wired together. Does not touch
// the disk; it asks the agent's thread to.

import { SwarmEngine } from '../engine/engine.ts'
import type { EngineNews } from '../engine/engine-options.ts'
import { openSwarmClient } from '../library/client.ts'
import { shownAddress } from '../peers/address.ts'
import { MAX_CONNS, MAX_UPLOADS } from '../peers/connection-limits.ts'
import { createArena } from '../thread/arena.ts'
import { ON_DISK, type WorkerNews, type WorkerOrder, type WorkerTask } from '../thread/protocol.ts'
import { pieceRange } from '../torrent/piece-layout.ts'
import { PieceSet } from '../torrent/piece-set.ts'
import type { BlockRequest } from '../wire/upload-queue.ts'
import { createAnnouncer } from './announcer.ts'
import { openOrigin } from './origin.ts'
import { createPieceHasher } from './piece-hasher.ts'
import { createPieceReader } from './piece-reader.ts'

const TICK_MS = 250
const PULSE_MS = 500
const VIEW_MS = 1000
/** Peers that are shown. */
const MOST_PEERS = 16
/** Time for `stopped` to reach the trackers. */
const CLOSE_MS = 2000

export interface Session {
  onOrder(order: WorkerOrder): void
}

/** Runs until it is told to close. */
export async function startSession(
  task: WorkerTask,
  tell: (news: WorkerNews) => void,
): Promise<Session> {
  const { torrent, limits } = task.swarm
  const { metainfo } = torrent
  const now = () => performance.now()
  const random = Math.random
  const arena = createArena(task.memory, task.arena)
  const lengthOf = (piece: number) => pieceRange(metainfo, piece).length
  const hasher = createPieceHasher({
    hashes: metainfo.pieces,
    memory: task.memory,
    now,
    onFailure: (error) => {
      throw error
    },
  })
  const reader = createPieceReader({
    arena,
    maxReads: task.arena.slotCount - task.arena.maxInProgress,
    lengthOf,
    verify: hasher.verify,
    order: (piece, slot) => tell({ kind: 'read', piece, slot: slot.index }),
  })
  const badPieces = { origin: 0, peers: 0 }
  const writing = new Map<number, () => void>()
  let uploadedBytes = 0
  const origin =
    task.swarm.origin &&
    openOrigin(task.swarm.origin, metainfo.lengthBytes, random, tellLogLine(tell))
  const engine = new SwarmEngine({
    layout: metainfo,
    selfId: task.peerId,
    now,
    random,
    defer: setImmediate,
    slots: arena,
    maxInProgress: task.arena.maxInProgress,
    origin,
    downloadLimit: limits.downloadLimit,
    maxUploads: MAX_UPLOADS,
    verify: hasher.verify,
    store: (piece, slot, from) =>
      new Promise((resolve) => {
        writing.set(piece, () => {
          arena.retain(piece, slot)
          client.markHave(piece)
          resolve()
        })
        tell({ kind: 'piece', piece, slot: slot.index, length: lengthOf(piece), from })
      }),
    onNews: (news) => {
      if (news.kind === 'bad piece') badPieces[news.from] += 1
      tellNews(news, tell)
    },
    onComplete: () => client.markComplete(),
  })
  const have = new PieceSet(metainfo.pieceCount)
  const claimed = new PieceSet(metainfo.pieceCount)
  for (let piece = 0; piece < metainfo.pieceCount; piece++) {
    const state = task.onDisk[piece]
    if (state === ON_DISK.verified) have.add(piece)
    if (state === ON_DISK.claimed) claimed.add(piece)
    if (state !== ON_DISK.no) engine.markOnDisk(piece, state === ON_DISK.verified)
  }
  const client = await openSwarmClient({
    task: task.swarm,
    peerId: task.peerId,
    maxConns: MAX_CONNS,
    have,
    figures: () => {
      const { origin: fromOrigin, peers } = engine.figures
      return { uploaded: uploadedBytes, downloaded: fromOrigin + peers, left: engine.bytesLeft }
    },
    isServable: ({ piece, offset, length }: BlockRequest) =>
      piece < metainfo.pieceCount && engine.has(piece) && offset + length <= lengthOf(piece),
    readBlock: ({ piece, offset, length }, take) =>
      reader.use(piece, (bytes) => {
        take(bytes instanceof Error ? null : bytes.subarray(offset, offset + length))
      }),
    onWire: (wire, isFar) => engine.addWire(wire, isFar),
    onSwarmSize: (nodes) => engine.noteSwarmSize(nodes),
    onUploaded: (bytes) => {
      uploadedBytes += bytes
    },
    onRefused: (address) => tell({ kind: 'refused', address }),
    onTracker: (news) => tell({ kind: 'tracker', ...news }),
    onWarning: (warning) =>
      tell({ kind: 'warning', message: 'swarm client warns', fields: { warning } }),
    onFailure: (error) => {
      throw error
    },
  })
  tell({ kind: 'listening', port: client.port })
  const announcer = createAnnouncer({
    targets: () => client.trackers,
    isDownloading: () => !engine.isComplete,
    isKnown: () => client.isKnownToTracker,
    random,
    now,
  })
  const ticker = setInterval(() => engine.tick(), TICK_MS)
  const pulse = setInterval(() => {
    const { origin: originBytes, peers: peerBytes, duplicates: duplicateBytes } = engine.figures
    const peers = engine.peerCount
    const figures = { peers, uploadedBytes, originBytes, peerBytes, duplicateBytes }
    tell({ kind: 'pulse', figures })
  }, PULSE_MS)
  const view = setInterval(() => {
    const { nextInSeconds } = announcer
    const trackers = client.trackerFigures().map((each) => ({ ...each, nextInSeconds }))
    const peers = engine.peerFigures()
    tell({
      kind: 'view',
      asked: peers.filter(({ isAsked }) => isAsked).length,
      served: peers.filter(({ isServed }) => isServed).length,
      peerList: peers
        .slice(0, MOST_PEERS)
        .map((peer) => ({ ...peer, address: shownAddress(peer.address) })),
      trackers,
      badPieces,
    })
  }, VIEW_MS)
  engine.tick()
  checkClaims(claimed).catch((error: unknown) => {
    throw error
  })

  /** Pieces another source brought: seed them if they are right, fetch them if not. */
  async function checkClaims(pieces: Iterable<number>): Promise<void> {
    for (const piece of pieces) {
      const isRight = await reader.read(piece, () => true).catch(() => false)
      tell({ kind: isRight ? 'verified' : 'refuted', piece })
      if (isRight) {
        client.markHave(piece)
        engine.markOnDisk(piece, true)
      } else {
        engine.markMissing(piece)
      }
    }
    if (engine.isComplete) client.markComplete()
  }

  async function close(): Promise<void> {
    clearInterval(ticker)
    clearInterval(pulse)
    clearInterval(view)
    announcer.stop()
    engine.stop()
    reader.close()
    hasher.close()
    await client.close(CLOSE_MS)
    tell({ kind: 'closed' })
  }

  return {
    onOrder: (order) => {
      if (order.kind === 'read') reader.onRead(order.piece, order.error)
      else if (order.kind === 'rack') client.nameRack(order.rack)
      else if (order.kind === 'written') {
        writing.get(order.piece)?.()
        writing.delete(order.piece)
      } else close().catch(() => tell({ kind: 'closed' }))
    },
  }
}

/** The HTTP code's log lines reach the agent's log through its own thread. */
function tellLogLine(tell: (news: WorkerNews) => void): (line: string) => void {
  return (line) => {
    const { msg, level: _level, time: _time, ...fields } = JSON.parse(line)
    tell({ kind: 'warning', message: String(msg), fields })
  }
}

function tellNews(news: EngineNews, tell: (news: WorkerNews) => void): void {
  if (news.kind === 'origin trouble' && news.isFinal) {
    tell({ kind: 'origin lost', reason: news.reason })
  } else {
    const { kind: message, ...fields } = news
    tell({ kind: 'warning', message, fields })
  }
}
