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

export interface PieceTransfer {
  /** A piece is on its way to the disk. */
  readonly isWriting: boolean
  write(news: Extract<WorkerNews, { kind: 'piece' }>, from: WorkerSide): void
  read(news: Extract<WorkerNews, { kind: 'read' }>, from: WorkerSide): void
  /** Resolves when nothing is under way. */
  settle(): Promise<void>
}

export function createPieceTransfer(
  metainfo: Metainfo,
  shape: ArenaShape,
  { readImage, writePiece, log }: PieceAccess & { readonly log: Logger },
  outcome: { onWritten(piece: number): void; onWriteFailed(error: unknown): void },
): PieceTransfer {
  const writes = new Set<Promise<void>>()
  const reads = new Set<Promise<void>>()

  function track(kind: Set<Promise<void>>, work: Promise<void>): void {
    kind.add(work)
    work.finally(() => kind.delete(work)).catch(() => undefined)
  }

  async function write(
    { piece, slot, length, from: kind }: Extract<WorkerNews, { kind: 'piece' }>,
    { memory, host }: WorkerSide,
  ): Promise<void> {
    try {
      await writePiece({
        offset: piece * metainfo.pieceLength,
        data: slotAt(memory, shape, slot).bytes.subarray(0, length),
        from: kind,
        sha1: metainfo.pieces.subarray(piece * HASH_BYTES, (piece + 1) * HASH_BYTES),
      })
      host.send({ kind: 'written', piece })
      outcome.onWritten(piece)
    } catch (error) {
      outcome.onWriteFailed(error)
    }
  }

  async function read(
    { piece, slot }: Extract<WorkerNews, { kind: 'read' }>,
    { memory, host }: WorkerSide,
  ): Promise<void> {
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

  return {
    get isWriting() {
      return writes.size > 0
    },
    write: (news, from) => track(writes, write(news, from)),
    read: (news, from) => track(reads, read(news, from)),
    settle: async () => {
      await Promise.allSettled([...writes, ...reads])
    },
  }
}
