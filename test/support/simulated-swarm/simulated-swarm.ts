// SPDX-License-Identifier: Apache-2.0
// Owns a swarm of real engines over simulated wires in virtual time: rates, no sockets. For tests of
// decisions; the bytes of a piece are its number.
import { AgentError } from '../../../agent/core/errors.ts'
import { SwarmEngine } from '../../../agent/sources/swarm/engine/engine.ts'
import type { EngineNews } from '../../../agent/sources/swarm/engine/engine-options.ts'
import type { ClaimKind } from '../../../agent/sources/swarm/engine/origin/claim.ts'
import type {
  BlockCallback,
  PeerWire,
  WireListener,
} from '../../../agent/sources/swarm/engine/peer-wire.ts'

export interface NodeSettings {
  /** Bytes per second to all peers together. */
  readonly upload: number
  readonly hasOrigin: boolean
  readonly isSeed?: boolean
  /** Sends wrong bytes. */
  readonly isLiar?: boolean
  /** Added to its clock. */
  readonly clockShiftMs?: () => number
  /** Nodes of one number are near each other. */
  readonly rack?: number
  /** Until then everybody is near. */
  readonly isRackKnown?: () => boolean
}

export interface SimulatedNode {
  readonly engine: SwarmEngine
  readonly news: EngineNews[]
  /** Virtual ms. */
  completedAt: number | undefined
  leave(): void
}

interface Pipe {
  freeAt: number
}

export class SimulatedSwarm {
  readonly nodes: SimulatedNode[] = []
  originBytes = 0
  /** What the origin does with a request for this piece. */
  originAnswer: (piece: number) => 'right' | 'wrong' | 'refused' = () => 'right'
  /** Blocks that went from one rack to another. */
  crossedBytes = 0
  readonly #pieceCount: number
  readonly #pieceLength: number
  readonly #originPipe: Pipe = { freeAt: 0 }
  readonly #originRate: number
  readonly #due: { at: number; order: number; work: () => void }[] = []
  #now = 0
  #order = 0
  #seed = 1
  readonly #links: { a: End; b: End }[] = []

  constructor(options: {
    pieceCount: number
    pieceLength: number
    originRate: number
    seed?: number
  }) {
    this.#pieceCount = options.pieceCount
    this.#pieceLength = options.pieceLength
    this.#originRate = options.originRate
    this.#seed = options.seed ?? 1
  }

  readonly random = (): number => {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0
    return this.#seed / 2 ** 32
  }

  add(settings: NodeSettings): SimulatedNode {
    const id = `2d4953${String(this.nodes.length).padStart(34, '0')}`
    const pipe: Pipe = { freeAt: 0 }
    const news: EngineNews[] = []
    const lengthBytes = this.#pieceCount * this.#pieceLength
    const engine = new SwarmEngine({
      layout: { pieceCount: this.#pieceCount, pieceLength: this.#pieceLength, lengthBytes },
      selfId: id,
      now: () => this.#now + (settings.clockShiftMs?.() ?? 0),
      random: this.random,
      defer: (work) => this.after(0, work),
      slots: {
        acquire: () => ({ index: 0, bytes: new Uint8Array(this.#pieceLength) }),
        release: () => undefined,
      },
      maxInProgress: 16,
      origin: settings.hasOrigin ? this.#origin() : undefined,
      downloadLimit: 0,
      maxUploads: 50,
      verify: (piece, bytes, done) => {
        const isRight = bytes.every((byte) => byte === (piece & 0xff))
        this.after(1, () => done(isRight))
      },
      store: () => new Promise((resolve) => this.after(5, resolve)),
      onNews: (each) => news.push(each),
      onComplete: () => {
        node.completedAt = this.#now
      },
    })
    const node: SimulatedNode = {
      engine,
      news,
      completedAt: undefined,
      leave: () => {
        engine.stop()
        for (const { a, b } of this.#links) if (a.owner === node || b.owner === node) a.close()
      },
    }
    if (settings.isSeed) {
      for (let piece = 0; piece < this.#pieceCount; piece++) engine.markOnDisk(piece, true)
    }
    for (const other of this.nodes) this.#connect(node, id, settings, pipe, other)
    this.#parts.set(node, { id, settings, pipe })
    this.nodes.push(node)
    const tick = () => {
      engine.tick()
      this.after(250, tick)
    }
    this.after(0, tick)
    return node
  }

  /** This node's ends of its wires. */
  wiresOf(node: SimulatedNode): PeerWire[] {
    return this.#links.flatMap(({ a, b }) => [a, b]).filter((end) => end.owner === node)
  }

  after(ms: number, work: () => void): void {
    this.#due.push({ at: this.#now + ms, order: this.#order++, work })
  }

  /** Runs until `isOver`, at most `limitMs` of virtual time. @returns the virtual time, ms */
  async run(isOver: () => boolean, limitMs: number): Promise<number> {
    while (!isOver() && this.#now < limitMs) {
      this.#due.sort((a, b) => a.at - b.at || a.order - b.order)
      const at = (this.#due[0]?.at as number) + 1
      const batch = this.#due.splice(0, this.#due.findIndex((each) => each.at >= at) >>> 0)
      for (const each of batch) {
        this.#now = Math.max(this.#now, each.at)
        each.work()
      }
      // promises of stores and origin reads settle between two batches
      await new Promise((resolve) => setImmediate(resolve))
    }
    return this.#now
  }

  readonly #parts = new Map<SimulatedNode, { id: string; settings: NodeSettings; pipe: Pipe }>()

  #connect(
    node: SimulatedNode,
    id: string,
    settings: NodeSettings,
    pipe: Pipe,
    other: SimulatedNode,
  ): void {
    const theirs = this.#parts.get(other) as { id: string; settings: NodeSettings; pipe: Pipe }
    const a = new End(this, node, theirs.id, this.#pieceCount)
    const b = new End(this, other, id, this.#pieceCount)
    a.join(b, theirs)
    b.join(a, { settings, pipe })
    this.#links.push({ a, b })
    const isFar = settings.rack !== theirs.settings.rack
    a.isFar = isFar
    b.isFar = isFar
    const isKnownFar = () => isFar && (settings.isRackKnown?.() ?? true)
    node.engine.addWire(a, isKnownFar)
    other.engine.addWire(b, isKnownFar)
  }

  #origin() {
    return {
      maxStrikes: 3,
      reportCorrupt: () => undefined,
      readRange: (range: { offset: number; length: number }, target: Uint8Array) =>
        new Promise<void>((resolve, reject) => {
          const piece = range.offset / this.#pieceLength
          const answer = this.originAnswer(piece)
          if (answer === 'refused') {
            const refusal = new AgentError('ImageDownloadError', 'refused', { kind: 'transient' })
            this.after(1, () => reject(refusal))
            return
          }
          this.originBytes += range.length
          this.send(this.#originPipe, this.#originRate, range.length, () => {
            target.fill((answer === 'right' ? piece : piece + 1) & 0xff)
            resolve()
          })
        }),
    }
  }

  /** Delivers after the pipe has sent everything before it. */
  send(pipe: Pipe, rate: number, bytes: number, deliver: () => void): void {
    pipe.freeAt = Math.max(pipe.freeAt, this.#now) + (bytes / rate) * 1000
    this.after(pipe.freeAt - this.#now, deliver)
  }
}

/** One end of a wire: what its owner does to it reaches the other end a millisecond later. */
class End implements PeerWire {
  readonly peerId: string
  readonly address: string
  readonly isSharingOrigin = true
  readonly maxRequests = 250
  isPeerChoking = true
  isPeerInterested = false
  isChoking = true
  isFar = false
  readonly owner: SimulatedNode
  readonly #swarm: SimulatedSwarm
  readonly #has: Uint8Array
  readonly #cancelled = new Set<string>()
  #other: End | undefined
  #peer: { settings: NodeSettings; pipe: Pipe } | undefined
  #listener: WireListener | undefined
  #isInterested = false
  #isClosed = false

  constructor(swarm: SimulatedSwarm, owner: SimulatedNode, peerId: string, pieceCount: number) {
    this.#swarm = swarm
    this.owner = owner
    this.peerId = peerId
    this.address = peerId.slice(-4)
    this.#has = new Uint8Array(pieceCount)
  }

  join(other: End, peer: { settings: NodeSettings; pipe: Pipe }): void {
    this.#other = other
    this.#peer = peer
    for (let piece = 0; piece < this.#has.length; piece++) {
      this.#has[piece] = Number(other.owner.engine.has(piece))
    }
  }

  listen(listener: WireListener): void {
    this.#listener = listener
    listener.onBitfield((piece) => this.#has[piece] === 1)
  }

  request(piece: number, offset: number, length: number, callback: BlockCallback): void {
    const peer = this.#peer
    if (this.#isClosed || this.isPeerChoking || peer === undefined) {
      callback(null)
      return
    }
    const key = `${piece}:${offset}`
    this.#cancelled.delete(key)
    this.#swarm.send(peer.pipe, peer.settings.upload, length, () => {
      if (this.#isClosed) callback(null)
      else if (!this.#cancelled.delete(key)) {
        if (this.isFar) this.#swarm.crossedBytes += length
        const byte = peer.settings.isLiar ? (piece + 1) & 0xff : piece & 0xff
        callback(new Uint8Array(length).fill(byte))
      }
    })
  }

  cancel(piece: number, offset: number): void {
    this.#cancelled.add(`${piece}:${offset}`)
  }

  have(piece: number): void {
    this.#tell((other) => other.#listener?.onHave(piece))
  }

  claim(kind: ClaimKind, hops: number, pieces: readonly number[]): void {
    this.#tell((other) => other.#listener?.onClaim(kind, hops, pieces))
  }

  choke(): void {
    this.isChoking = true
    this.#tell((other) => {
      other.isPeerChoking = true
      other.#listener?.onChoke()
    })
  }

  unchoke(): void {
    this.isChoking = false
    this.#tell((other) => {
      other.isPeerChoking = false
      other.#listener?.onUnchoke()
    })
  }

  setInterested(isInterested: boolean): void {
    if (isInterested === this.#isInterested) return
    this.#isInterested = isInterested
    this.#tell((other) => {
      other.isPeerInterested = isInterested
      if (isInterested) other.#listener?.onInterested()
      else other.#listener?.onNotInterested()
    })
  }

  close(): void {
    for (const end of [this, this.#other as End]) {
      if (end.#isClosed) continue
      end.#isClosed = true
      this.#swarm.after(1, () => end.#listener?.onClose())
    }
  }

  #tell(news: (other: End) => void): void {
    this.#swarm.after(1, () => {
      if (!this.#isClosed && this.#other) news(this.#other)
    })
  }
}
