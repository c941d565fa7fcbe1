// SPDX-License-Identifier: Apache-2.0
// Owns the beginning of what is packed in a file, decoded from the beginning of the file: what it is has to be known
// before a disk is touched. Bounded in what it makes and in time. Does not judge it, nor say what is broken.
/// <reference lib="esnext.disposable" />
import { createGunzip } from 'node:zlib'
import { AgentError } from '../../../core/errors.ts'
import { MiB } from '../../../core/units.ts'
import { startFilter } from '../../../system/filter.ts'
import type { InOrderFormat } from '../unpackers.ts'
import { BZIP2_ARGV, XZ_ARGV } from './program.ts'
import type { ZlibDecoder } from './stream-decoder.ts'
import { createFrameDecoder } from './zstd.ts'
import { ZstdFrame } from './zstd-frame.ts'

/** Of the file: more than the largest block of bzip2, 900 kB that cannot be packed, which is decoded as one. */
export const MOST_PACKED_BYTES = MiB
/** For 1 MiB of xz or bzip2 on a machine that is busy, ms. */
const SILENCE_MS = 20_000

/** Each takes a decoder of its own, milliseconds: a file of empty frames only would take minutes. */
const MOST_FRAMES = 128

/** Takes what was decoded; false when it has enough. */
type Take = (bytes: Uint8Array) => boolean

/** Resolves when `packed` is used up, is broken, or enough was taken. Throws the reason of `signal`. */
type Decode = (packed: Uint8Array, take: Take, signal: AbortSignal) => Promise<void>

const DECODERS = {
  zstd: decodeZstd,
  gzip: async (packed, take) => {
    await decodeBy(createGunzip(), packed, take)
  },
  xz: decodeByProgram(XZ_ARGV),
  bzip2: decodeByProgram(BZIP2_ARGV),
} as const satisfies Record<InOrderFormat, Decode>

/**
 * The first bytes of what is packed: `mostBytes`, or as many as `packed` holds, which may be none. What is broken ends
 * it like the end of the file: whether it was made so its hash decides, later. Takes up to 64 MiB of memory (zstd), or 96
 * in a process of its own (xz). Throws the reason of `signal`, ProcessError where xz or bzip2 cannot be run, InvalidImage for a
 * zstd of so many small frames that it would take minutes.
 * @param packed the beginning of the file
 */
export async function readPackedBeginning(
  format: InOrderFormat,
  packed: Uint8Array,
  mostBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const beginning = new Uint8Array(mostBytes)
  let length = 0
  const take: Take = (bytes) => {
    const taken = bytes.subarray(0, mostBytes - length)
    beginning.set(taken, length)
    length += taken.length
    return length < mostBytes
  }
  await DECODERS[format](packed, take, signal)
  signal.throwIfAborted()
  return beginning.subarray(0, length)
}

/** Frame by frame: a decoder of node:zlib ends without a word after its first. Throws InvalidImage for too many of them. */
async function decodeZstd(packed: Uint8Array, take: Take, signal: AbortSignal): Promise<void> {
  let at = 0
  for (let frames = 0; at < packed.length && frames < MOST_FRAMES; frames++) {
    signal.throwIfAborted()
    const frame = new ZstdFrame(at)
    const end = endOfFrame(frame, packed, at)
    if (end === undefined) return
    if (frame.header?.isSkippable === false) {
      if (!(await decodeBy(createFrameDecoder(), packed.subarray(at, end), take))) return
    }
    at = end
  }
  if (at === packed.length) return
  throw new AgentError(
    'InvalidImage',
    `the first ${at} bytes of the zstd file are ${MOST_FRAMES} frames, which hold less than is looked at: pack it anew`,
  )
}

/** Undefined where no frame begins at `at`. */
function endOfFrame(frame: ZstdFrame, packed: Uint8Array, at: number): number | undefined {
  try {
    return frame.walk(packed, frame.readHeader(packed, at))
  } catch {
    return undefined
  }
}

/** Resolves to whether more may be taken. */
async function decodeBy(decoder: ZlibDecoder, packed: Uint8Array, take: Take): Promise<boolean> {
  const over = Promise.withResolvers<boolean>()
  decoder.on('data', (bytes: Uint8Array) => {
    if (!take(bytes)) over.resolve(false)
  })
  decoder.once('error', () => over.resolve(false))
  // written, not ended: what is cut off would be an error, and take what was decoded with it
  decoder.write(packed, () => over.resolve(true))
  try {
    return await over.promise
  } finally {
    decoder.destroy()
  }
}

function decodeByProgram(argv: readonly [string, ...string[]]): Decode {
  return async (packed, take, signal) => {
    await using program = startFilter(argv, { silenceMs: SILENCE_MS, signal })
    const feed = async () => {
      if (await program.write(packed)) program.end()
    }
    const feeding = feed()
    // one that is ended while it takes its input
    feeding.catch(() => undefined)
    for await (const bytes of program.output) if (!take(bytes)) return
    await feeding
  }
}
