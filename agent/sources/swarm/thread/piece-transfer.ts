// SPDX-License-Identifier: Apache-2.0
// Owns the pieces on their way between the arena and the disk: written and read on behalf of a worker,
// which is told. Does not know which pieces are verified.
import { messageOf } from '../../../core/errors.ts'
import type { FileExtent, ImageReader } from '../../../core/extent.ts'
import type { Logger } from '../../../telemetry/logger.ts'

import { HASH_BYTES, type Metainfo } from '../torrent/metainfo.ts'
import { pieceRange } from '../torrent/piece-layout.ts'
import { type ArenaShape, slotAt } from './arena.ts'
import type { WorkerNews } from './protocol.ts'
import type { WorkerHost } from './worker-host.ts'

/** The disk, as a swarm sees it. */
export interface PieceAccess {
  readonly readImage: ImageReader
  /** Puts a verified piece on the disk; its `data` are valid until it resolves. */
  writePiece(extent: FileExtent): Promise<void>
}

/** A worker and the arena that it shares with this thread. */
export interface WorkerSide {
  readonly memory: SharedArrayBuffer
  readonly host: WorkerHost
}

type PieceNews = Extract<WorkerNews, { kind: 'piece' }>
type ReadNews = Extract<WorkerNews, { kind: 'read' }>

export interface PieceTransfer {
  /** A piece is on its way to the disk. */
  readonly isWriting: boolean
  write(news: PieceNews, from: WorkerSide): void
  read(news: ReadNews, from: WorkerSide): void
  /** Resolves when nothing is under way. */
  settle(): Promise<void>
}

export interface PieceTransferDeps extends PieceAccess {
  readonly metainfo: Metainfo
  readonly shape: ArenaShape
  readonly log: Logger
  onWritten(piece: number): void
  onWriteFailed(error: unknown): void
}

/** Between this arena and this disk. */
export function createPieceTransfer(deps: PieceTransferDeps): PieceTransfer {
  return new ArenaTransfer(deps)
}

class ArenaTransfer implements PieceTransfer {
  readonly #deps: PieceTransferDeps
  readonly #writes = new Set<Promise<void>>()
  readonly #reads = new Set<Promise<void>>()

  constructor(deps: PieceTransferDeps) {
    this.#deps = deps
  }

  get isWriting(): boolean {
    return this.#writes.size > 0
  }

  write(news: PieceNews, from: WorkerSide): void {
    track(this.#writes, this.#write(news, from))
  }

  read(news: ReadNews, from: WorkerSide): void {
    track(this.#reads, this.#read(news, from))
  }

  async settle(): Promise<void> {
    await Promise.allSettled([...this.#writes, ...this.#reads])
  }

  async #write({ piece, slot, length, from }: PieceNews, worker: WorkerSide): Promise<void> {
    const { metainfo, shape, writePiece, onWritten, onWriteFailed } = this.#deps
    try {
      await writePiece({
        offset: piece * metainfo.pieceLength,
        data: slotAt(worker.memory, shape, slot).bytes.subarray(0, length),
        from,
        sha1: metainfo.pieces.subarray(piece * HASH_BYTES, (piece + 1) * HASH_BYTES),
      })
      worker.host.send({ kind: 'written', piece })
      onWritten(piece)
    } catch (error) {
      onWriteFailed(error)
    }
  }

  async #read({ piece, slot }: ReadNews, { memory, host }: WorkerSide): Promise<void> {
    const { metainfo, shape, readImage, log } = this.#deps
    const range = pieceRange(metainfo, piece)
    const target = slotAt(memory, shape, slot).bytes.subarray(0, range.length)
    try {
      const bytes = await readImage(range, target)
      if (bytes !== target) target.set(bytes)
      host.send({ kind: 'read', piece, error: null })
    } catch (error) {
      log.warn({ err: error, piece }, 'piece cannot be read for upload')
      host.send({ kind: 'read', piece, error: messageOf(error) })
    }
  }
}

function track(underWay: Set<Promise<void>>, work: Promise<void>): void {
  underWay.add(work)
  work.finally(() => underWay.delete(work)).catch(() => undefined)
}
