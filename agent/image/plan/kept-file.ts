// SPDX-License-Identifier: Apache-2.0
// Owns where a file that has to be unpacked, or the rest of one, is kept: on the free tail of the disk, out of the way
// of what comes to the end of a disk. Pure.
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import { formatBytes, MiB, roundDown, roundUp } from '../../core/units.ts'
import { MAX_CONFIG_DRIVE_BYTES } from '../../disk/configdrive/decode.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'

/** Partitions begin at multiples of it; so the config drive's may begin this much earlier. */
const ALIGNMENT_BYTES = MiB
/** The backup GPT, and whatever else lies where boot code is looked for. */
const TABLE_BYTES = MiB

export interface KeptFileRequest {
  readonly imageId: string
  /** Names what is kept, in errors. */
  readonly what: string
  /** Of what is kept. */
  readonly bytes: number
  /** The least that the unpacked image takes. */
  readonly unpackedBytes: number
  /** From where the image begins on, what is free for it and for the file. */
  readonly room: DiskRange
  readonly disk: DeviceGeometry
  readonly hasConfigdrive: boolean
}

/** The place; undefined where there is no room for both. */
export function placeKeptFile(request: KeptFileRequest): DiskRange | undefined {
  const { bytes } = request
  const free = roomBehind(request)
  const offset = roundDown(endOf(free) - bytes, ALIGNMENT_BYTES)
  return offset >= free.offset ? { offset, length: bytes } : undefined
}

/** What is free behind the image for a file whose length shows when it is there. May be of no bytes. */
export function roomBehind(request: Omit<KeptFileRequest, 'bytes' | 'what'>): DiskRange {
  const { unpackedBytes, room, disk } = request
  const leastBytes = Math.max(unpackedBytes, ALIGNMENT_BYTES)
  const offset = roundUp(room.offset + leastBytes, ALIGNMENT_BYTES)
  const end = roundDown(
    Math.min(endOf(room), disk.sizeBytes - spareBytes(request)),
    ALIGNMENT_BYTES,
  )
  return { offset, length: Math.max(0, end - offset) }
}

/** For a disk that has no place, with the numbers. */
export function noRoomError(request: KeptFileRequest): AgentError {
  const { imageId, what, bytes, unpackedBytes, room, disk } = request
  return new AgentError(
    'InvalidImage',
    `image ${imageId} takes ${formatBytes(unpackedBytes)} (${unpackedBytes} bytes) or more when it is unpacked, ` +
      `${what} ${bytes} bytes behind it, both in whole MiB, and ${spareBytes(request)} are left free; ${disk.path} has room for ` +
      `${room.length}: choose a larger disk (for a node: by root device hints), or serve the image raw`,
  )
}

function spareBytes({ hasConfigdrive }: Pick<KeptFileRequest, 'hasConfigdrive'>): number {
  return TABLE_BYTES + (hasConfigdrive ? MAX_CONFIG_DRIVE_BYTES + ALIGNMENT_BYTES : 0)
}
