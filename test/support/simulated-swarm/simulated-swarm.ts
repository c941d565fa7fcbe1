// SPDX-License-Identifier: Apache-2.0
// Owns a swarm of the agent's own engines over simulated links in virtual time: nodes, their cables, racks,
// the origin, the disks. The engine decides everything else. Does not decide who knows whom.
import { SwarmEngine } from '../../../agent/sources/swarm/engine/engine.ts'
import type { EngineNews } from '../../../agent/sources/swarm/engine/engine-options.ts'
import type { Origin } from '../../../agent/sources/swarm/engine/origin/origin.ts'
import type { Slot } from '../../../agent/sources/swarm/engine/pieces/slot.ts'
import { MAX_UPLOADS } from '../../../agent/sources/swarm/peers/connection-limits.ts'
import { BLOCK_BYTES } from '../../../agent/sources/swarm/torrent/piece-layout.ts'
import { Connection, Pipe, Sender } from './links.ts'
import { createSimulatedOrigin, type OriginAnswer } from './simulated-origin.ts'
import { createRandom, VirtualTime } from './virtual-time.ts'
import { SimulatedWire } from './wire.ts'

export interface SwarmSettings {
  readonly pieceCount: number
  readonly pieceLength: number
  /** Payload bytes per second. */
  readonly originRate: number
  readonly seed?: number
  /** Moments are rounded up to it; 1 unless given. */
  readonly grainMs?: number
  /** Between a rack and the core, each direction; without limit unless given. */
  readonly uplinkRate?: number
  /** What a socket holds at most, and words wait behind; they do not wait unless given. */
  readonly windowBytes?: number
  /** One way; 1 unless given. */
  readonly latencyMs?: number
  /** Pieces that a node's memory has room for; 16 unless given. */
  readonly maxInProgress?: number
  /** The bytes of a piece are its number, and hashed. If not, only lengths matter. True unless given. */
  readonly hasContents?: boolean
}

export interface NodeSettings {
  /** Bytes per second to all peers together. */
  readonly upload: number
  /** The same from all together; without limit unless given. */
  readonly download?: number
  readonly hasOrigin: boolean
  readonly isSeed?: boolean
  /** Sends wrong bytes. */
  readonly isLiar?: boolean
  /** Added to its clock. */
  readonly clockShiftMs?: () => number
  /** Nodes of one number are near each other. */
  readonly rack?: number | undefined
  /** Until then everybody is near. */
  readonly isRackKnown?: () => boolean
  /** The peer id as hex. */
  readonly id?: string
  onComplete?(): void
}

export interface SimulatedNode {
  readonly id: string
  readonly rack: number | undefined
  readonly engine: SwarmEngine
  readonly news: EngineNews[]
  /** What it sends and receives by. */
  readonly sender: Sender
  readonly inbound: Pipe
  readonly wires: Set<SimulatedWire>
  readonly settings: NodeSettings
  /** Virtual ms. */
  completedAt: number | undefined
  isGone: boolean
}

interface Rack {
  readonly up: Pipe
  readonly down: Pipe
}

/** The agent's own figure (session.ts). */
const TICK_MS = 250
const HASH_MS = 1
/** fdatasync is not awaited: a write is a copy into the disk's queue. */
const WRITE_MS = 2
/** What does not matter. */
const BLOCK = new Uint8Array(BLOCK_BYTES)

export class SimulatedSwarm {
  readonly nodes: SimulatedNode[] = []
  readonly time: VirtualTime
  readonly random: () => number
  /** What the origin does with a request for this piece. */
  originAnswer: (piece: number) => OriginAnswer = () => 'right'
  readonly origin: Sender
  readonly #settings: SwarmSettings
  readonly #hasContents: boolean
  readonly #racks = new Map<number, Rack>()
  readonly #latencyMs: number
  readonly #windowBytes: number
  /** One serves all where contents do not matter. */
  readonly #buffer: Uint8Array

  constructor(settings: SwarmSettings) {
    this.#settings = settings
    this.#hasContents = settings.hasContents ?? true
    this.time = new VirtualTime(settings.grainMs ?? 1)
    this.random = createRandom(settings.seed ?? 1)
    this.origin = new Sender(this.time, settings.originRate)
    this.#latencyMs = settings.latencyMs ?? 1
    this.#windowBytes = settings.windowBytes ?? 0
    this.#buffer = new Uint8Array(settings.pieceLength)
  }

  get imageBytes(): number {
    return this.#settings.pieceCount * this.#settings.pieceLength
  }

  /** Bytes the origin has sent. */
  get originBytes(): number {
    return this.origin.pipe.carriedBytes
  }

  /** Bytes that have left one rack for another. */
  get crossedBytes(): number {
    let bytes = 0
    for (const { up } of this.#racks.values()) bytes += up.carriedBytes
    return bytes
  }

  /** A node that knows nobody and does nothing yet. */
  create(settings: NodeSettings): SimulatedNode {
    const { pieceCount, pieceLength, maxInProgress = 16 } = this.#settings
    const id = settings.id ?? `2d4953${String(this.nodes.length).padStart(34, '0')}`
    const { rack } = settings
    const inbound = new Pipe(settings.download ?? Number.POSITIVE_INFINITY)
    const news: EngineNews[] = []
    const engine = new SwarmEngine({
      layout: { pieceCount, pieceLength, lengthBytes: this.imageBytes },
      selfId: id,
      now: () => this.time.now + (settings.clockShiftMs?.() ?? 0),
      random: this.random,
      defer: (work) => this.time.after(0, work),
      slots: { acquire: () => this.#slot(), release: () => undefined },
      maxInProgress,
      origin: settings.hasOrigin ? this.#originFor(rack, inbound) : undefined,
      downloadLimit: 0,
      maxUploads: MAX_UPLOADS,
      verify: (piece, bytes, done) => this.#verify(piece, bytes, done),
      store: () => this.time.pass(WRITE_MS),
      onNews: (each) => news.push(each),
      onComplete: () => {
        node.completedAt = this.time.now
        settings.onComplete?.()
      },
    })
    const node: SimulatedNode = {
      id,
      rack,
      engine,
      news,
      sender: new Sender(this.time, settings.upload),
      inbound,
      wires: new Set(),
      settings,
      completedAt: undefined,
      isGone: false,
    }
    if (settings.isSeed) for (let p = 0; p < pieceCount; p++) engine.markOnDisk(p, true)
    this.nodes.push(node)
    return node
  }

  /** The node's clock begins to tick. */
  start(node: SimulatedNode): void {
    node.engine.tick()
    if (!node.isGone) this.time.after(TICK_MS, () => this.start(node))
  }

  /** A node that knows all the others that are there, and works. */
  add(settings: NodeSettings): SimulatedNode {
    const others = this.nodes.filter((other) => !other.isGone)
    const node = this.create(settings)
    for (const other of others) this.connect(node, other)
    this.time.after(0, () => this.start(node))
    return node
  }

  /** @returns both ends, or nothing if one of the two is gone */
  connect(a: SimulatedNode, b: SimulatedNode): readonly SimulatedWire[] {
    if (a.isGone || b.isGone) return []
    const [atA, atB] = [this.#wire(a, b), this.#wire(b, a)]
    atA.join(atB)
    atB.join(atA)
    a.wires.add(atA)
    b.wires.add(atB)
    const { isRackKnown = () => true } = a.settings
    const isFar = () => a.rack !== b.rack && isRackKnown()
    a.engine.addWire(atA, isFar)
    b.engine.addWire(atB, isFar)
    return [atA, atB]
  }

  /** The node is gone, and its connections with it. */
  leave(node: SimulatedNode): void {
    node.isGone = true
    node.engine.stop()
    for (const wire of node.wires) wire.close()
  }

  after(ms: number, work: () => void): void {
    this.time.after(ms, work)
  }

  /** Runs until `isOver`, or until `limitMs` of virtual time. @returns the virtual time, ms */
  async run(isOver: () => boolean, limitMs: number): Promise<number> {
    await this.time.run(isOver, limitMs)
    return this.time.now
  }

  #wire(from: SimulatedNode, to: SimulatedNode): SimulatedWire {
    const path = this.#pathFrom(from.rack, to.rack, to.inbound)
    const { settings } = from
    return new SimulatedWire(to.id, {
      connection: new Connection(from.sender, path, this.#latencyMs, this.#windowBytes),
      pieceCount: this.#settings.pieceCount,
      has: (piece) => from.engine.has(piece),
      blockOf: (piece, length) => this.#blockOf(settings.isLiar ? piece + 1 : piece, length),
    })
  }

  #blockOf(piece: number, length: number): Uint8Array {
    if (this.#hasContents) return new Uint8Array(length).fill(piece)
    return length === BLOCK_BYTES ? BLOCK : BLOCK.subarray(0, length)
  }

  #slot(): Slot {
    const { pieceLength } = this.#settings
    return { index: 0, bytes: this.#hasContents ? new Uint8Array(pieceLength) : this.#buffer }
  }

  #verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void {
    if (!this.#hasContents) {
      done(true)
      return
    }
    const isRight = bytes.every((byte) => byte === (piece & 0xff))
    this.time.after(HASH_MS, () => done(isRight))
  }

  /** The pipes between a sender in one rack (the origin hangs at the core) and a receiver in another. */
  #pathFrom(from: number | undefined, to: number | undefined, inbound: Pipe): Pipe[] {
    if (to === undefined || from === to) return [inbound]
    const up = from === undefined ? [] : [this.#rack(from).up]
    return [...up, this.#rack(to).down, inbound]
  }

  #originFor(rack: number | undefined, inbound: Pipe): Origin {
    const path = this.#pathFrom(undefined, rack, inbound)
    return createSimulatedOrigin({
      time: this.time,
      latencyMs: this.#latencyMs,
      pieceLength: this.#settings.pieceLength,
      hasContents: this.#hasContents,
      connect: () => new Connection(this.origin, path, this.#latencyMs, this.#windowBytes),
      answer: (piece) => this.originAnswer(piece),
    })
  }

  #rack(number: number): Rack {
    const known = this.#racks.get(number)
    if (known) return known
    const { uplinkRate = Number.POSITIVE_INFINITY } = this.#settings
    const rack = { up: new Pipe(uplinkRate), down: new Pipe(uplinkRate) }
    this.#racks.set(number, rack)
    return rack
  }
}
