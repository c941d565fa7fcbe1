// SPDX-License-Identifier: Apache-2.0
// Owns the memory that the pieces of all torrents may take together (option swarm_memory), and keeps that of a
// torrent that has ended for the next one. Does not divide it; arena.ts does.
import { AgentError } from '../../../core/errors.ts'
import { formatBytes } from '../../../core/units.ts'
import { type ArenaShape, allocateArena, arenaShape, leastArenaBytes } from './arena.ts'

/** The part of one torrent. */
export interface ArenaShare extends Disposable {
  readonly shape: ArenaShape
  /** Memory that no thread uses: the one that was kept, with what was in it, or new. */
  allocate(): SharedArrayBuffer
  /**
   * For the next torrent of this size: V8 takes it back late, so a second deploy would have both. Only for what no
   * thread uses any more.
   */
  keep(memory: SharedArrayBuffer): void
}

export interface ArenaBudget {
  /**
   * Half of what is left, so that another torrent finds room too, or as much as one needs at least.
   * Throws SwarmError if there is not as much.
   */
  share(pieceLength: number, pieceCount: number): ArenaShare
}

/** @param totalBytes of all shares together */
export function createArenaBudget(totalBytes: number): ArenaBudget {
  let takenBytes = 0
  let kept: SharedArrayBuffer | undefined

  function share(pieceLength: number, pieceCount: number): ArenaShare {
    const leftBytes = totalBytes - takenBytes
    const leastBytes = leastArenaBytes(pieceLength)
    if (leastBytes > leftBytes) {
      throw new AgentError(
        'SwarmError',
        `pieces of ${formatBytes(pieceLength)} need ${formatBytes(leastBytes)} of memory, ` +
          `${formatBytes(leftBytes)} of ${formatBytes(totalBytes)} are left; ` +
          'give ipa-swarm-memory a higher value or make a torrent with smaller pieces',
      )
    }
    const shape = arenaShape(pieceLength, pieceCount, Math.max(leftBytes / 2, leastBytes))
    const bytes = shape.slotBytes * shape.slotCount
    takenBytes += bytes
    let isTaken = true
    return {
      shape,
      allocate: () => {
        const memory = kept?.byteLength === bytes ? kept : allocateArena(shape)
        kept = undefined
        return memory
      },
      keep: (memory) => {
        kept = memory
      },
      [Symbol.dispose]: () => {
        if (isTaken) takenBytes -= bytes
        isTaken = false
      },
    }
  }

  return { share }
}
