// SPDX-License-Identifier: Apache-2.0
// Owns the formats whose readers are attacked, a row each. Does not run them.
import { unpackQcow2 } from '../../../agent/image/formats/qcow2/unpack.ts'
import type { Unpack } from '../../../agent/image/formats/unpacker.ts'
import { NotStraightError, unpackStraight } from '../../support/formats/straight-qcow2.ts'
import type { Field } from './mutate.ts'
import { smallQcow2s } from './qcow2.ts'

/** Put on the disk by its layout, which says what unpacking says; images without one are unpacked. */
const unpackStraightOrNot: Unpack = async (request) => {
  try {
    return await unpackStraight(request)
  } catch (error) {
    if (error instanceof NotStraightError) return await unpackQcow2(request)
    throw error
  }
}

/** A good image, and where it may be hurt. */
export interface SmallImage {
  readonly name: string
  readonly file: Uint8Array
  readonly fields: readonly Field[]
}

export interface FuzzedFormat {
  readonly unpack: Unpack
  /** Small ones: their unpacked size is at most WINDOW_BYTES. */
  readonly images: () => readonly SmallImage[]
}

export const WINDOW_BYTES = 512 * 1024

export const FUZZED_FORMATS = {
  qcow2: { unpack: unpackQcow2, images: smallQcow2s },
  'qcow2-straight': { unpack: unpackStraightOrNot, images: smallQcow2s },
} as const satisfies Record<string, FuzzedFormat>
