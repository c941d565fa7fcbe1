// SPDX-License-Identifier: Apache-2.0
// Owns the small sinks of the stack between the sources and the disk. From the top, in file bytes:
// limit → meter (meter.ts) → check the format → place; from there on in disk bytes: hold back → write, by
// way of the proof's journal. Each is a sink around the next. Does not know where extents come from.
import { AgentError, isAgentError, messageOf } from '../../core/errors.ts'
import type { DiskSink, FileSink } from '../../core/extent.ts'
import type { DiskBytes } from '../../disk/block-device.ts'
import type { HeldBack } from '../../disk/hold-back.ts'
import type { Layout } from '../formats/layout.ts'
import { watchBeginning } from './beginning.ts'

/** Refuses every byte of the file at or behind `limitBytes`: it is longer than promised, or than the disk. */
export function limit(next: FileSink, limitBytes: number, what: string): FileSink {
  return {
    write: async (extent) => {
      const end = extent.offset + extent.data.length
      if (extent.offset < 0 || end > limitBytes) {
        throw new AgentError(
          'InvalidImage',
          `bytes up to ${end} arrived, but ${what} ends at ${limitBytes}; check the image's size`,
        )
      }
      await next.write(extent)
    },
  }
}

/**
 * Looks at the file's beginning once it is there, where it was not to be had before (contract 5.3.6). Throws
 * what `judge` throws.
 */
export function checkFormat(
  next: FileSink,
  fileBytes: number,
  judge: (firstBytes: Uint8Array) => void,
): FileSink {
  const beginning = watchBeginning(fileBytes, judge)
  return {
    write: async (extent) => {
      beginning.see(extent.offset, extent.data.length, extent.data)
      await next.write(extent)
    },
  }
}

/** From the file's address space to the disk's. */
export function place(next: DiskSink, layout: Layout): FileSink {
  return {
    write: async (extent) => {
      for (const placed of layout.place(extent)) await next.write(placed)
    },
  }
}

/** From the file to the disk: placed, what boots held back, the rest written by way of `journaled`. */
export function sinkToDisk(
  { layout, held }: { readonly layout: Layout; readonly held: HeldBack },
  device: Pick<DiskBytes, 'geometry' | 'write'>,
  journaled: (next: DiskSink) => DiskSink,
): FileSink {
  return place(holdBack(journaled(writeTo(device)), held), layout)
}

/** Keeps the bytes of the held-back ranges in RAM and lets the others pass. */
export function holdBack(next: DiskSink, held: HeldBack): DiskSink {
  return {
    write: async (extent) => {
      for (const part of held.take(extent)) await next.write(part)
    },
  }
}

/** The end of the stack: the disk. Throws ImageWriteError. */
export function writeTo(device: Pick<DiskBytes, 'geometry' | 'write'>): DiskSink {
  return {
    write: async ({ offset, data }) => {
      try {
        await device.write(offset, data)
      } catch (error) {
        if (isAgentError(error, 'ImageWriteError')) throw error
        const last = offset + data.length - 1
        throw new AgentError(
          'ImageWriteError',
          `${device.geometry.path} bytes ${offset}–${last}: ${messageOf(error)}`,
          { cause: error },
        )
      }
    },
  }
}
