// SPDX-License-Identifier: Apache-2.0
// Owns the table of formats that are unpacked: one row each. Does not recognise them (image-format.ts).
import { unpackGzip } from './compressed/gzip.ts'
import { unpackZstd } from './compressed/zstd.ts'
import type { Unpack } from './unpacker.ts'

/** What lies on the disk is what the file holds, in each of these: the file is kept until it is unpacked. */
export const UNPACKERS = {
  gzip: unpackGzip,
  zstd: unpackZstd,
} as const satisfies Record<string, Unpack>

/** A format that is unpacked. */
export type UnpackedFormat = keyof typeof UNPACKERS

/** True for the names of formats that are unpacked. */
export function isUnpacked(format: string): format is UnpackedFormat {
  return Object.hasOwn(UNPACKERS, format)
}
