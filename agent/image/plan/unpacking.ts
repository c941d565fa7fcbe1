// SPDX-License-Identifier: Apache-2.0
// Owns the decision how a file that is not written as it is comes to the disk: kept on its tail, or unpacked while it
// comes in. Pure.
import { type DiskRange, intersect } from '../../core/extent.ts'
import { type InOrderFormat, isInOrder, type UnpackedFormat } from '../formats/unpackers.ts'
import { type KeptFileRequest, noRoomError, placeKeptFile } from './kept-file.ts'
import type { PlannedSource, PlannedTarget } from './plan-parts.ts'

/** How a file that is not written as it is comes to the disk. */
export type PlannedUnpacking = KeptUnpacking | InOrderUnpacking

interface Unpacking {
  /** What the image may take of the target's window. */
  readonly window: DiskRange
  /** The least that the unpacked image takes, bytes; 0 where nothing is known. */
  readonly leastBytes: number
}

/** The file is kept until it is unpacked. */
export interface KeptUnpacking extends Unpacking {
  readonly format: UnpackedFormat
  /** Where the file is kept, read back, and served from: behind the window. */
  readonly kept: DiskRange
}

/** The file is unpacked while it comes in; nothing of it is kept. */
export interface InOrderUnpacking extends Unpacking {
  readonly format: InOrderFormat
  readonly kept: null
}

export interface UnpackingFacts {
  readonly imageId: string
  /** Of the image servers. */
  readonly urls: readonly string[]
  /** By swarm_mode. */
  readonly isSwarmRequired: boolean
  readonly sizeBytes: number
  readonly leastBytes: number
  readonly target: PlannedTarget
  readonly hasConfigdrive: boolean
  readonly sources: readonly PlannedSource[]
}

export interface UnpackingWay {
  readonly unpacking: PlannedUnpacking
  readonly sources: readonly PlannedSource[]
  readonly warnings: readonly string[]
}

/**
 * A file that others are served from has to be kept. What comes by HTTP alone is unpacked in its order, and so is what
 * the disk has no room to keep. Throws InvalidImage, with the numbers, where neither can be done.
 */
export function planUnpacking(format: UnpackedFormat, facts: UnpackingFacts): UnpackingWay {
  const { leastBytes, target, sources } = facts
  const { window } = target
  const hasSwarm = sources.some(({ name }) => name === 'swarm')
  if (isInOrder(format) && !hasSwarm) {
    return { unpacking: { format, kept: null, window, leastBytes }, sources, warnings: [] }
  }
  const request = keptFileRequest(facts)
  const kept = placeKeptFile(request)
  if (kept) {
    const before = { offset: window.offset, length: kept.offset - window.offset }
    const room = intersect(window, before) ?? { ...window, length: 0 }
    return { unpacking: { format, kept, window: room, leastBytes }, sources, warnings: [] }
  }
  const error = noRoomError(request)
  if (!isInOrder(format) || facts.isSwarmRequired) throw error
  return {
    unpacking: { format, kept: null, window, leastBytes },
    sources: [{ name: 'http', urls: facts.urls }],
    warnings: [
      `no swarm, the image is unpacked in its order as it comes by HTTP: ${error.details}`,
    ],
  }
}

function keptFileRequest(facts: UnpackingFacts): KeptFileRequest {
  const { window, disk, layout } = facts.target
  return {
    imageId: facts.imageId,
    fileBytes: facts.sizeBytes,
    unpackedBytes: facts.leastBytes,
    // the root partition is the last: what lies behind it is free
    room: { offset: window.offset, length: disk.sizeBytes - window.offset },
    disk,
    // that of a partition image has a place of its own
    hasConfigdrive: facts.hasConfigdrive && layout === null,
  }
}
