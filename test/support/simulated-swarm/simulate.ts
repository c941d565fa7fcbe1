// SPDX-License-Identifier: Apache-2.0
// Owns a swarm of the agent's own engines over simulated links in virtual time: who is connected to
// whom, the origin, the disks. The engine decides everything else.

import { SwarmEngine } from '../../../agent/sources/swarm/engine/engine.ts'
import type { Origin } from '../../../agent/sources/swarm/engine/origin/origin.ts'
import { MAX_UPLOADS } from '../../../agent/sources/swarm/peers/connection-limits.ts'
import { BLOCK_BYTES } from '../../../agent/sources/swarm/torrent/piece-layout.ts'
import { createIntroductions } from './introductions.ts'
import { Connection, Pipe, Sender } from './links.ts'
import { createRandom, VirtualTime } from './virtual-time.ts'
import { SimulatedWire } from './wire.ts'

export interface World {
  readonly nodeCount: number
  readonly pieceCount: number
  readonly pieceLength: number
  /** Pieces that a node's memory has room for. */
  readonly maxInProgress: number
  /** Payload bytes per second, each direction. */
  readonly nodeRate: number
  readonly originRate: number
  readonly racks: number
  /** Between a rack and the core, each direction; ignored with one rack. */
  readonly uplinkRate: number
  /** Nodes are gone as soon as they are done. */
  readonly isLeaving: boolean
  readonly seed: number
  /** What a socket holds at most. */
  readonly windowBytes: number
  /** One way. */
  readonly latencyMs: number
  /** Nodes are ready at some moment within this span. */
  readonly startSpreadMs: number
  readonly limitMs: number
  /** Called twice a virtual second; `received` is the share of all bytes that all nodes want. */
  readonly onProgress?: (seconds: number, received: number) => void
}

export interface Outcome {
  /** Start to completion, ascending; nodes that were not done in time are left out. */
  readonly seconds: readonly number[]
  readonly originCopies: number
  /** Bytes that came twice ÷ image, mean. */
  readonly duplicates: number
  /** Through the uplinks of racks, one direction, in copies of the image. */
  readonly uplinkCopies: number
  readonly steps: number
  readonly timeline: readonly Moment[]
}

/** How full the cables were since the moment before, as shares. */
export interface Moment {
  readonly seconds: number
  readonly origin: number
  readonly sent: number
  readonly received: number
}

/** The agent's own figures (session.ts). */
const TICK_MS = 250
/** A tracker's answer and a handshake. */
const INTRODUCTION_MS = 30
/** The tracker's answer alone, and how often it is asked anew (announcer.ts). */
const ANSWER_MS = 15
const REANNOUNCE_MS = 2500
/** Peers in a tracker's answer: what opentracker gives at most. */
const TRACKER_ANSWER = 200
/** fdatasync is not awaited: a write is a copy into the disk's queue. */
const WRITE_MS = 2
const HTTP_REQUEST_MS = 1
const LOOK_MS = 500

interface Node {
  readonly id: string
  readonly rack: number
  readonly engine: SwarmEngine
  readonly sender: Sender
  readonly inbound: Pipe
  readonly wires: Set<SimulatedWire>
  completedAt: number | undefined
}

interface Rack {
  readonly up: Pipe
  readonly down: Pipe
}

export async function simulate(world: World): Promise<Outcome> {
  // half of what a block takes on a node's cable
  const time = new VirtualTime((BLOCK_BYTES / world.nodeRate) * 500)
  const random = createRandom(world.seed)
  const racks: Rack[] = Array.from({ length: world.racks }, () => ({
    up: new Pipe(world.uplinkRate),
    down: new Pipe(world.uplinkRate),
  }))
  // one serves all: what is in it does not matter
  const buffer = new Uint8Array(world.pieceLength)
  const originSender = new Sender(time, world.originRate)
  let doneCount = 0

  function createNode(index: number): Node {
    const id = hexId(random)
    const inbound = new Pipe(world.nodeRate)
    const rack = index % world.racks
    const engine = new SwarmEngine({
      layout: {
        pieceCount: world.pieceCount,
        pieceLength: world.pieceLength,
        lengthBytes: world.pieceCount * world.pieceLength,
      },
      selfId: id,
      now: () => time.now,
      random,
      defer: (work) => time.after(0, work),
      slots: { acquire: () => ({ index: 0, bytes: buffer }), release: () => undefined },
      maxInProgress: world.maxInProgress,
      origin: createOrigin(pathFrom(undefined, rack, inbound)),
      downloadLimit: 0,
      maxUploads: MAX_UPLOADS,
      verify: (_piece, _bytes, done) => done(true),
      store: () =>
        new Promise((resolve) => {
          time.after(WRITE_MS, () => {
            time.notePromise()
            resolve()
          })
        }),
      onNews: () => undefined,
      onComplete: () => {
        node.completedAt = time.now
        doneCount += 1
        if (world.isLeaving) leave(node)
      },
    })
    const node: Node = {
      id,
      rack,
      engine,
      inbound,
      sender: new Sender(time, world.nodeRate),
      wires: new Set(),
      completedAt: undefined,
    }
    return node
  }

  /** The pipes between a sender in one rack (the origin hangs at the core) and a receiver in another. */
  function pathFrom(from: number | undefined, to: number, inbound: Pipe): Pipe[] {
    if (world.racks < 2 || from === to) return [inbound]
    const up = from === undefined ? [] : [(racks[from] as Rack).up]
    return [...up, (racks[to] as Rack).down, inbound]
  }

  function createOrigin(path: readonly Pipe[]): Origin {
    return {
      maxStrikes: 3,
      reportCorrupt: () => undefined,
      readRange: ({ length }, _target, signal) =>
        new Promise((resolve, reject) => {
          const connection = new Connection(originSender, path, world.latencyMs, world.windowBytes)
          let left = length
          const abort = () => {
            connection.queue.length = 0
            time.notePromise()
            reject(signal.reason)
          }
          signal.addEventListener('abort', abort, { once: true })
          const arrive = (bytes: number) => {
            left -= bytes
            if (left > 0 || signal.aborted) return
            signal.removeEventListener('abort', abort)
            time.notePromise()
            resolve()
          }
          time.after(HTTP_REQUEST_MS + world.latencyMs, () => {
            for (let at = 0; at < length && !signal.aborted; at += BLOCK_BYTES) {
              const bytes = Math.min(BLOCK_BYTES, length - at)
              connection.send({ bytes, arrive: () => arrive(bytes) })
            }
          })
        }),
    }
  }

  const introductions = createIntroductions<Node>({
    isFar: (a, b) => a.rack !== b.rack,
    connect: (a, b) => {
      let wires: readonly SimulatedWire[] = []
      let isCut = false
      time.after(INTRODUCTION_MS, () => {
        if (!isCut) wires = connect(a, b)
      })
      return () => {
        isCut = true
        for (const wire of wires) wire.close()
      }
    },
  })

  function connect(a: Node, b: Node): readonly SimulatedWire[] {
    if (a.completedAt !== undefined && world.isLeaving) return []
    if (b.completedAt !== undefined && world.isLeaving) return []
    const end = (from: Node, to: Node) =>
      new SimulatedWire(
        to.id,
        new Connection(
          from.sender,
          pathFrom(from.rack, to.rack, to.inbound),
          world.latencyMs,
          world.windowBytes,
        ),
        (piece) => from.engine.has(piece),
      )
    const [atA, atB] = [end(a, b), end(b, a)]
    atA.join(atB)
    atB.join(atA)
    a.wires.add(atA)
    b.wires.add(atB)
    const isFar = () => a.rack !== b.rack
    a.engine.addWire(atA, isFar)
    b.engine.addWire(atB, isFar)
    return [atA, atB]
  }

  function leave(node: Node): void {
    node.engine.stop()
    for (const wire of node.wires) wire.close()
  }

  const nodes = Array.from({ length: world.nodeCount }, (_, index) => createNode(index))
  /** As a tracker does: a newcomer gets some of those who are there. */
  function join(index: number, present: Node[]): void {
    const node = nodes[index] as Node
    const tick = () => {
      node.engine.tick()
      if (node.completedAt === undefined || !world.isLeaving) time.after(TICK_MS, tick)
    }
    tick()
    for (const other of shuffled(present, random).slice(0, TRACKER_ANSWER)) {
      introductions.introduce(node, other)
    }
    present.push(node)
    // a tracker counts those who have asked before
    const announce = () => {
      const count = present.length
      time.after(ANSWER_MS, () => node.engine.noteSwarmSize(count))
      if (node.completedAt === undefined) time.after(REANNOUNCE_MS, announce)
    }
    announce()
  }
  const present: Node[] = []
  for (let index = 0; index < nodes.length; index++) {
    time.at(random() * world.startSpreadMs, () => join(index, present))
  }
  const timeline: Moment[] = []
  const carried = { origin: 0, sent: 0, received: 0 }
  const look = () => {
    const share = (bytes: number, rate: number) => bytes / rate / (LOOK_MS / 1000)
    const now = {
      origin: originSender.pipe.carriedBytes,
      sent: nodes.reduce((sum, node) => sum + node.sender.pipe.carriedBytes, 0),
      received: nodes.reduce((sum, node) => sum + node.inbound.carriedBytes, 0),
    }
    const all = world.nodeRate * nodes.length
    timeline.push({
      seconds: time.now / 1000,
      origin: share(now.origin - carried.origin, world.originRate),
      sent: share(now.sent - carried.sent, all),
      received: share(now.received - carried.received, all),
    })
    Object.assign(carried, now)
    const wanted = nodes.length * world.pieceCount * world.pieceLength
    world.onProgress?.(time.now / 1000, Math.min(1, now.received / wanted))
    time.after(LOOK_MS, look)
  }
  time.after(LOOK_MS, look)
  await time.run(() => doneCount === nodes.length, world.limitMs)
  for (const node of nodes) node.engine.stop()

  const imageBytes = world.pieceCount * world.pieceLength
  const moments = nodes.map((node) => node.completedAt).filter((at) => at !== undefined)
  const twice = nodes.reduce((sum, node) => sum + node.engine.figures.duplicates, 0)
  return {
    seconds: moments.map((at) => at / 1000).sort((a, b) => a - b),
    originCopies: originSender.pipe.carriedBytes / imageBytes,
    duplicates: twice / imageBytes / nodes.length,
    uplinkCopies: racks.reduce((sum, { up }) => sum + up.carriedBytes, 0) / imageBytes,
    steps: time.steps,
    timeline,
  }
}

/** As the agent's own: a fixed prefix, the rest random. */
function hexId(random: () => number): string {
  const digits = Array.from({ length: 24 }, () => Math.floor(random() * 16).toString(16))
  return `2d4953303030312d${digits.join('')}`
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item)
}
