// SPDX-License-Identifier: Apache-2.0
// Owns the interface of an encoding: where the bytes of the file that is served lie on the disk. Does not
// read, write or decode.
import type { DiskExtent, DiskRange, FileExtent, FileRange } from '../../core/extent.ts'

/** The way between the two address spaces, for one image in one window of a disk. Pure. */
export interface Layout {
  /** The part of the disk that the image takes. */
  readonly area: DiskRange
  /** Where the bytes of the extent go, in order; a SHA-1 stays with bytes that are still whole. */
  place(extent: FileExtent): DiskExtent[]
  /** Where these bytes of the file can be read back, in the order of the file. */
  locate(range: FileRange): DiskRange[]
}

/** Makes the layout of an image of `fileBytes` that begins where `window` does. */
export type CreateLayout = (fileBytes: number, window: DiskRange) => Layout
