// SPDX-License-Identifier: Apache-2.0
// Owns the surroundings of one engine of which a random list says what happens next: peers, origin, hashing,
// disk. Watches the invariants of STATE.md from outside. Does not simulate time or speed.
import { expect } from 'vitest'
import { AgentError } from '../../../../../agent/core/errors.ts'
import { SwarmEngine } from '../../../../../agent/sources/swarm/engine/engine.ts'
import type { ClaimKind } from '../../../../../agent/sources/swarm/engine/origin/claim.ts'
import type { Origin } from '../../../../../agent/sources/swarm/engine/origin/origin.ts'
import type { Slot } from '../../../../../agent/sources/swarm/engine/pieces/slot.ts'
import {
  type PieceLayout,
  pieceRange,
} from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'
import { byteOf, RandomPeer, type Surroundings } from './random-peer.ts'

export interface WorldSettings {
  readonly seed: number
  readonly hasOrigin: boolean
  readonly maxInProgress: number
  readonly unverified: readonly number[]
  readonly storesFail: boolean
}

interface Read {
  readonly target: Uint8Array
  resolve(): void
  reject(error: unknown): void
}

interface Store {
  readonly slot: Slot
  resolve(): void
  reject(error: unknown): void
}

/** Where a piece is, as far as can be seen from outside; undefined: missing, or peers are filling it. */
type Place = 'origin' | 'hashing' | 'storing' | 'have' | 'unverified'

export class RandomWorld implements Surroundings {
  readonly engine: SwarmEngine
  readonly layout: PieceLayout
  hasStoreFailed = false
  readonly #settings: WorldSettings
  readonly #reads = new Map<number, Read>()
  readonly #hashes = new Map<number, (isRight: boolean) => void>()
  readonly #stores = new Map<number, Store>()
  readonly #onDisk = new Set<number>()
  readonly #unverified: Set<number>
  /** Slots of the engine. */
  readonly #slots = new Set<Slot>()
  #storedBytes = 0
  #peers: RandomPeer[] = []
  readonly #deferred: (() => void)[] = []
  #now = 0
  #seed: number

  constructor(layout: PieceLayout, settings: WorldSettings) {
    this.layout = layout
    this.#settings = settings
    this.#seed = settings.seed
    this.#unverified = new Set(settings.unverified)
    this.engine = new SwarmEngine({
      layout,
      selfId: 'f'.repeat(40),
      now: () => this.#now,
      random: () => {
        this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0
        return this.#seed / 2 ** 32
      },
      defer: (work) => this.#deferred.push(work),
      slots: { acquire: () => this.#acquire(), release: (slot) => this.#release(slot) },
      maxInProgress: settings.maxInProgress,
      origin: settings.hasOrigin ? this.#createOrigin() : undefined,
      downloadLimit: 0,
      maxUploads: 2,
      verify: (piece, bytes, done) => this.#verify(piece, bytes, done),
      store: (piece, slot) => this.#store(piece, slot),
      onNews: () => undefined,
      onComplete: () => expect(this.#onDisk.size).toBe(layout.pieceCount),
    })
    for (const piece of this.#unverified) this.engine.markOnDisk(piece, false)
  }

  get slotsInUse(): number {
    return this.#slots.size
  }

  /** 1: what this list of the possible says happens, if it can happen now. */
  apply([kind, which, how]: readonly [number, number, number]): void {
    const peer = this.#peers[which % Math.max(1, this.#peers.length)]
    const happen = [
      () => this.#join((piece) => ((how * 7) >> (piece % 6)) % 2 === 1),
      () => this.#join(() => true),
      () => peer?.leave(),
      () => peer?.announce(how % this.layout.pieceCount),
      () => peer?.sayBitfield((piece) => (how >> piece) % 2 === 1),
      () => peer?.setChoking(how % 2 === 0),
      () => peer?.setChoking(false),
      () => peer?.setPeerInterest(how % 2 === 0),
      () => peer?.answer(how, 'right'),
      () => peer?.answer(how, 'right'),
      () => peer?.answerAll(),
      () => peer?.answer(how, 'wrong'),
      () => peer?.answer(how, 'refused'),
      () => peer?.tellClaim((how % 3) as ClaimKind, how % this.layout.pieceCount),
      () => this.#endHash(which),
      () => this.#endHash(which),
      () => this.#endStore(which, how),
      () => this.#endStore(which, how),
      () => this.#endRead(which, how),
      () => this.#endRead(which, how),
      () => this.#readBack(which, how % 2 === 0),
      () => this.engine.noteSwarmSize(how),
      () => this.#tick(250),
      () => this.#tick(1100),
      () => this.#tick(how > 90 ? 40_000 : 5000),
    ] as const
    happen[kind % happen.length]?.()
  }

  /** All that follows at once. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) {
      for (const work of this.#deferred.splice(0)) work()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#peers = this.#peers.filter((peer) => !peer.isClosed)
  }

  check(): void {
    const { layout } = this
    // 1
    for (let piece = 0; piece < layout.pieceCount; piece++) {
      expect(this.engine.has(piece)).toBe(this.#onDisk.has(piece))
      expect(this.#placesOf(piece).length).toBeLessThanOrEqual(1)
    }
    const left = (layout.pieceCount - this.#onDisk.size) * layout.pieceLength
    expect(this.engine.bytesLeft).toBe(Math.min(left, layout.lengthBytes))
    const { origin, peers } = this.engine.figures
    expect(origin + peers).toBe(this.#storedBytes)
    // 3
    for (const peer of this.#peers) {
      const isWanted = [...peer.pieces].some(
        (piece) => !this.#onDisk.has(piece) && !this.#unverified.has(piece),
      )
      expect(peer.isInterested).toBe(isWanted)
    }
    // 5
    const inUse = this.#slots.size + this.#stores.size
    expect(inUse).toBeLessThanOrEqual(this.#settings.maxInProgress)
    expect(this.#slots.size).toBeGreaterThanOrEqual(this.#reads.size + this.#hashes.size)
    // 9
    for (const peer of this.#peers) if (!peer.hasLied) expect(peer.isBanned).toBe(false)
  }

  /** 10: everybody of before is gone, and somebody with everything comes. */
  async finish(): Promise<void> {
    for (const piece of [...this.#unverified]) this.#readBackOf(piece, true)
    for (const peer of this.#peers) peer.leave()
    await this.settle()
    const seed = this.#join(() => true)
    seed.setChoking(false)
    for (let turn = 0; turn < 400 && !this.engine.isComplete; turn++) {
      seed.answerAll()
      for (const piece of [...this.#reads.keys()]) this.#endReadOf(piece, 'right')
      await this.settle()
      while (this.#hashes.size > 0) this.#endHash(0)
      for (const piece of [...this.#stores.keys()]) this.#endStoreOf(piece)
      await this.settle()
      this.check()
      this.#tick(250)
    }
    expect(seed.isClosed).toBe(false)
  }

  isElsewhere(piece: number): boolean {
    return this.#placesOf(piece).length > 0
  }

  isOnDisk(piece: number): boolean {
    return this.#onDisk.has(piece)
  }

  #placesOf(piece: number): Place[] {
    const places: Place[] = []
    if (this.#reads.has(piece)) places.push('origin')
    if (this.#hashes.has(piece)) places.push('hashing')
    if (this.#stores.has(piece)) places.push('storing')
    if (this.#onDisk.has(piece)) places.push('have')
    if (this.#unverified.has(piece)) places.push('unverified')
    return places
  }

  #join(has: (piece: number) => boolean): RandomPeer {
    const peer = new RandomPeer(this, String(this.#now + this.#peers.length), has)
    this.#peers.push(peer)
    this.engine.addWire(peer)
    return peer
  }

  #acquire(): Slot {
    const slot = { index: 0, bytes: new Uint8Array(this.layout.pieceLength) }
    this.#slots.add(slot)
    return slot
  }

  #release(slot: Slot): void {
    expect(this.#slots.delete(slot)).toBe(true)
  }

  #verify(piece: number, bytes: Uint8Array, done: (isRight: boolean) => void): void {
    expect(this.#placesOf(piece)).toEqual([])
    // 6
    expect(bytes.length).toBe(pieceRange(this.layout, piece).length)
    expect(bytes.includes(0)).toBe(false)
    this.#hashes.set(piece, (isRight) => done(isRight && bytes.every((b) => b === byteOf(piece))))
  }

  #endHash(which: number): void {
    const [piece, end] = [...this.#hashes][which % Math.max(1, this.#hashes.size)] ?? []
    if (piece === undefined || end === undefined) return
    this.#hashes.delete(piece)
    end(true)
  }

  #store(piece: number, slot: Slot): Promise<void> {
    expect(this.#placesOf(piece)).toEqual([])
    const { length } = pieceRange(this.layout, piece)
    expect(slot.bytes.subarray(0, length).every((b) => b === byteOf(piece))).toBe(true)
    expect(this.#slots.delete(slot)).toBe(true)
    this.#storedBytes += length
    return new Promise((resolve, reject) => this.#stores.set(piece, { slot, resolve, reject }))
  }

  #endStore(which: number, how: number): void {
    const [piece] = [...this.#stores.keys()].slice(which % Math.max(1, this.#stores.size))
    if (piece === undefined || this.hasStoreFailed) return
    if (this.#settings.storesFail && how > 80) {
      this.hasStoreFailed = true
      this.#stores.get(piece)?.reject(new Error('no space left'))
    } else this.#endStoreOf(piece)
  }

  #endStoreOf(piece: number): void {
    this.#stores.get(piece)?.resolve()
    this.#stores.delete(piece)
    this.#onDisk.add(piece)
  }

  #readBack(which: number, isRight: boolean): void {
    const piece = [...this.#unverified][which % Math.max(1, this.#unverified.size)]
    if (piece !== undefined) this.#readBackOf(piece, isRight)
  }

  #readBackOf(piece: number, isRight: boolean): void {
    this.#unverified.delete(piece)
    if (isRight) this.#onDisk.add(piece)
    if (isRight) this.engine.markOnDisk(piece, true)
    else this.engine.markMissing(piece)
  }

  #createOrigin(): Origin {
    return {
      maxStrikes: 3,
      reportCorrupt: () => undefined,
      readRange: ({ offset, length }, target, signal) => {
        const piece = offset / this.layout.pieceLength
        expect(this.#placesOf(piece)).toEqual([])
        expect(this.hasStoreFailed).toBe(false)
        expect(target.length).toBe(length)
        return new Promise((resolve, reject) => {
          this.#reads.set(piece, { target, resolve, reject })
          signal.addEventListener('abort', () => {
            if (this.#reads.delete(piece)) reject(signal.reason)
          })
        })
      },
    }
  }

  #endRead(which: number, how: number): void {
    const [piece] = [...this.#reads.keys()].slice(which % Math.max(1, this.#reads.size))
    if (piece === undefined) return
    const answer = how < 60 ? 'right' : how < 75 ? 'wrong' : how < 97 ? 'transient' : 'fatal'
    this.#endReadOf(piece, answer)
  }

  #endReadOf(piece: number, answer: 'right' | 'wrong' | 'transient' | 'fatal'): void {
    const read = this.#reads.get(piece) as Read
    this.#reads.delete(piece)
    if (answer === 'transient' || answer === 'fatal') {
      read.reject(new AgentError('ImageDownloadError', 'refused', { kind: answer }))
      return
    }
    read.target.fill(answer === 'right' ? byteOf(piece) : 255)
    read.resolve()
  }

  #tick(ms: number): void {
    this.#now += ms
    this.engine.tick()
  }
}
