// SPDX-License-Identifier: Apache-2.0
// Owns the formats whose readers are attacked, a row each. Does not run them.
import { createHash } from 'node:crypto'
import { type ErrorType, isAgentError } from '../../../agent/core/errors.ts'
import { endOf } from '../../../agent/core/extent.ts'
import { unpackQcow2 } from '../../../agent/image/formats/qcow2/unpack.ts'
import type { Unpack, UnpackRequest, UnpackSink } from '../../../agent/image/formats/unpacker.ts'
import { UNPACKERS } from '../../../agent/image/formats/unpackers.ts'
import { arrivingUnpack } from '../../support/formats/arriving-qcow2.ts'
import { NotStraightError, unpackStraight } from '../../support/formats/straight-qcow2.ts'
import { LEFT_BEHIND } from '../../support/formats/unpacked-file.ts'
import { unpackInMemory } from '../../support/formats/unpacked-memory.ts'
import { smallGzips } from './gzip.ts'
import type { Field } from './mutate.ts'
import { readTables, smallGpts, smallMbrs } from './partition-tables.ts'
import { smallQcow2s } from './qcow2.ts'
import { judgeAs, smallVdis, smallVhds, smallVhdxs, smallVmdks } from './qemu-headers.ts'
import { smallZstds } from './zstd.ts'

/** Put on the disk by its layout, which says what unpacking says; images without one are unpacked. */
const unpackStraightOrNot: Unpack = async (request) => {
  try {
    return await unpackStraight(request)
  } catch (error) {
    if (error instanceof NotStraightError) return await unpackQcow2(request)
    throw error
  }
}

/** In the order of its file, compared with what is made of it where it is kept: neither takes what the other refuses. */
const unpackArrivingToo: Unpack = async (request) => {
  const aside: UnpackSink = { write: async () => undefined, zero: async () => undefined }
  const kept = await outcomeOf(unpackQcow2, { ...request, sink: aside })
  const arrived = await outcomeOf(arrivingUnpack(), request)
  if (arrived.digest !== kept.digest) {
    throw new Error(`as it comes it is ${arrived.digest}, from the disk ${kept.digest}`)
  }
  if (arrived.error) throw arrived.error
  return arrived.bytes
}

/** A digest of what reaches the disk, and of where; all errors of the format are the same. */
async function outcomeOf(unpack: Unpack, request: UnpackRequest) {
  const begin = request.window.offset
  // made by the first write: most damaged files have none
  let made: Uint8Array | undefined
  const disk = () => (made ??= new Uint8Array(request.window.length).fill(LEFT_BEHIND))
  const sink: UnpackSink = {
    write: async (extent) => {
      disk().set(extent.data, extent.offset - begin)
      await request.sink.write(extent)
    },
    zero: async (range) => {
      disk().fill(0, range.offset - begin, endOf(range) - begin)
      await request.sink.zero(range)
    },
  }
  try {
    const bytes = await unpack({ ...request, sink })
    const digest = createHash('sha256').update(disk().subarray(0, bytes)).digest('hex')
    return { digest: `${bytes} bytes of ${digest}`, bytes, error: undefined }
  } catch (error) {
    if (!isAgentError(error, 'InvalidImage')) throw error
    return { digest: 'refused', bytes: 0, error }
  }
}

/** A good image, and where it may be hurt. */
export interface SmallImage {
  readonly name: string
  readonly file: Uint8Array
  readonly fields: readonly Field[]
}

export interface FuzzedFormat {
  /** Rejects as `refusal` where the file is not taken, and with anything else for what must not be. */
  readonly read: (file: Uint8Array) => Promise<unknown>
  readonly refusal: ErrorType
  /** Small ones. */
  readonly images: () => readonly SmallImage[]
}

/** What is unpacked is at most this long. */
export const WINDOW_BYTES = 512 * 1024

const unpackedBy = (unpack: Unpack) => ({
  read: (file: Uint8Array) => unpackInMemory(unpack, file, WINDOW_BYTES),
  refusal: 'InvalidImage' as const,
})
const refusedTable = 'BlockDeviceError' as const

export const FUZZED_FORMATS = {
  qcow2: { ...unpackedBy(unpackQcow2), images: smallQcow2s },
  'qcow2-straight': { ...unpackedBy(unpackStraightOrNot), images: smallQcow2s },
  'qcow2-arriving': { ...unpackedBy(unpackArrivingToo), images: smallQcow2s },
  vmdk: { ...judgeAs('vmdk'), images: smallVmdks },
  vhd: { ...judgeAs('vhd'), images: smallVhds },
  vhdx: { ...judgeAs('vhdx'), images: smallVhdxs },
  vdi: { ...judgeAs('vdi'), images: smallVdis },
  gpt: { read: readTables, refusal: refusedTable, images: smallGpts },
  mbr: { read: readTables, refusal: refusedTable, images: smallMbrs },
  gzip: { ...unpackedBy(UNPACKERS.gzip), images: smallGzips },
  zstd: { ...unpackedBy(UNPACKERS.zstd), images: smallZstds },
} as const satisfies Record<string, FuzzedFormat>
