// SPDX-License-Identifier: Apache-2.0
// Owns a deploy of many nodes in virtual time from start to end: who comes when and who is connected to whom,
// as a tracker and the agent's limits have it; what is measured. Does not know what a connection is.

import { BLOCK_BYTES } from '../../../agent/sources/swarm/torrent/piece-layout.ts'
import { createIntroductions } from './introductions.ts'
import { type SimulatedNode, SimulatedSwarm } from './simulated-swarm.ts'
import type { SimulatedWire } from './wire.ts'

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

/** A tracker's answer and a handshake. */
const INTRODUCTION_MS = 30
/** The tracker's answer alone, and how often it is asked anew (announcer.ts). */
const ANSWER_MS = 15
const REANNOUNCE_MS = 2500
/** Peers in a tracker's answer: what opentracker gives at most. */
const TRACKER_ANSWER = 200
const LOOK_MS = 500

export async function simulate(world: World): Promise<Outcome> {
  const swarm = new SimulatedSwarm({
    pieceCount: world.pieceCount,
    pieceLength: world.pieceLength,
    originRate: world.originRate,
    seed: world.seed,
    // half of what a block takes on a node's cable
    grainMs: (BLOCK_BYTES / world.nodeRate) * 500,
    uplinkRate: world.uplinkRate,
    windowBytes: world.windowBytes,
    latencyMs: world.latencyMs,
    maxInProgress: world.maxInProgress,
    hasContents: false,
  })
  const { time, random, nodes } = swarm
  let doneCount = 0
  for (let index = 0; index < world.nodeCount; index++) {
    const node: SimulatedNode = swarm.create({
      id: hexId(random),
      upload: world.nodeRate,
      download: world.nodeRate,
      hasOrigin: true,
      rack: world.racks > 1 ? index % world.racks : undefined,
      onComplete: () => {
        doneCount += 1
        if (world.isLeaving) swarm.leave(node)
      },
    })
  }

  const introductions = createIntroductions<SimulatedNode>({
    isFar: (a, b) => a.rack !== b.rack,
    connect: (a, b) => {
      let wires: readonly SimulatedWire[] = []
      let isCut = false
      time.after(INTRODUCTION_MS, () => {
        if (!isCut) wires = swarm.connect(a, b)
      })
      return () => {
        isCut = true
        for (const wire of wires) wire.close()
      }
    },
  })

  /** As a tracker does: a newcomer gets some of those who are there. */
  function join(index: number, present: SimulatedNode[]): void {
    const node = nodes[index] as SimulatedNode
    swarm.start(node)
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
  const present: SimulatedNode[] = []
  for (let index = 0; index < nodes.length; index++) {
    time.at(random() * world.startSpreadMs, () => join(index, present))
  }
  const timeline: Moment[] = []
  const carried = { origin: 0, sent: 0, received: 0 }
  const look = () => {
    const share = (bytes: number, rate: number) => bytes / rate / (LOOK_MS / 1000)
    const now = {
      origin: swarm.originBytes,
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

  const { imageBytes } = swarm
  const moments = nodes.map((node) => node.completedAt).filter((at) => at !== undefined)
  const twice = nodes.reduce((sum, node) => sum + node.engine.figures.duplicates, 0)
  return {
    seconds: moments.map((at) => at / 1000).sort((a, b) => a - b),
    originCopies: swarm.originBytes / imageBytes,
    duplicates: twice / imageBytes / nodes.length,
    uplinkCopies: swarm.crossedBytes / imageBytes,
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
