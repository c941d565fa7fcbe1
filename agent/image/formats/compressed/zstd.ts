// SPDX-License-Identifier: Apache-2.0
// Owns zstd (RFC 8878): one frame or many, as pzstd, seekable zstd and cat write them, skippable ones anywhere. Frames
// that fit into memory are decoded side by side, larger ones as they are read. A decoder of node:zlib ends without a
// word after its first frame, so each frame gets its own. Does not decode.
/// <reference lib="esnext.disposable" />
import { createZstdDecompress, constants as zlib } from 'node:zlib'
import { AgentError } from '../../../core/errors.ts'
import { MiB } from '../../../core/units.ts'
import type { UnpackInOrder } from '../unpacker.ts'
import { createImageOutput, type ImageOutput } from './image-output.ts'
import { runDecoder, type StreamDecoder, type ZlibDecoder } from './stream-decoder.ts'
import {
  createDecodeAhead,
  type DecodeAhead,
  type FrameMemory,
  MOST_AHEAD_BYTES,
} from './zstd-ahead.ts'
import {
  assertDecodable,
  MOST_WINDOW_BYTES,
  ZstdFrame,
  type ZstdFrameHeader,
} from './zstd-frame.ts'

/**
 * Unpacks what zstd has packed. Takes 10 MiB of memory, and the window of a frame, 64 MiB at most, or three frames that
 * hold up to 8 MiB each.
 */
export const unpackZstd: UnpackInOrder = async (request) => {
  const output = createImageOutput({ ...request, format: 'zstd' })
  await using ahead = createDecodeAhead(output.push)
  let frame: ZstdFrame | undefined
  using open = new OpenFrame(ahead, output)
  for await (const { offset, bytes } of request.chunks) {
    for (let at = 0; at < bytes.length; ) {
      frame ??= new ZstdFrame(offset + at)
      if (!frame.header) {
        at = frame.readHeader(bytes, at)
        await open.begin(frame)
      } else {
        const end = frame.walk(bytes, at)
        await open.write(frame, bytes.subarray(at, end))
        at = end
      }
      if (!frame.isEnded) continue
      await open.end(frame)
      frame = undefined
    }
  }
  if (frame) throw frame.truncated(request.fileBytes)
  await ahead.drain()
  return await output.finish()
}

/** The frame that is being read: kept in memory until it is whole, or decoded meanwhile where it is too large. */
class OpenFrame implements Disposable {
  readonly #ahead: DecodeAhead
  readonly #output: ImageOutput
  #memory: FrameMemory | undefined
  #decoder: StreamDecoder | undefined

  constructor(ahead: DecodeAhead, output: ImageOutput) {
    this.#ahead = ahead
    this.#output = output
  }

  /** Of a frame whose header is not there yet, or that has no content, nothing comes. */
  async begin({ header, startOffset }: ZstdFrame): Promise<void> {
    if (!header || header.isSkippable) return
    assertDecodable(header)
    if (Math.max(header.windowBytes, header.contentBytes ?? 0) > MOST_AHEAD_BYTES) {
      await this.#stream(header, startOffset)
    } else {
      this.#memory = this.#ahead.takeMemory()
      this.#memory.add(header.bytes)
    }
  }

  async write(frame: ZstdFrame, bytes: Uint8Array): Promise<void> {
    const memory = this.#memory
    if (memory && (frame.mostContentBytes > MOST_AHEAD_BYTES || !memory.add(bytes))) {
      this.#memory = undefined
      await this.#stream(frame.header as ZstdFrameHeader, frame.startOffset, memory.bytes)
      this.#ahead.giveBack(memory)
    }
    await this.#decoder?.write(bytes)
  }

  async end({ header, startOffset, mostContentBytes }: ZstdFrame): Promise<void> {
    const [memory, decoder] = [this.#memory, this.#decoder]
    this.#memory = undefined
    if (memory) {
      await this.#ahead.start({
        memory,
        mostBytes: mostContentBytes,
        contentBytes: header?.contentBytes ?? null,
        faultOf: (reason) => broken(startOffset, reason),
      })
    }
    await decoder?.end()
    this.#decoder = undefined
  }

  [Symbol.dispose](): void {
    this.#decoder?.[Symbol.dispose]()
  }

  /** @param read what of the frame is in memory, with its header */
  async #stream(header: ZstdFrameHeader, startOffset: number, read = header.bytes): Promise<void> {
    // those before it come first
    await this.#ahead.drain()
    const decoder: StreamDecoder = runDecoder(createFrameDecoder(), this.#output.push, (reason) =>
      broken(startOffset + decoder.consumedBytes, reason),
    )
    this.#decoder = decoder
    await decoder.write(read)
  }
}

/** For one frame; ends without a word after it. Takes the memory of its window, 64 MiB at most, or errs. */
export function createFrameDecoder(): ZlibDecoder {
  return createZstdDecompress({
    chunkSize: MiB,
    params: { [zlib.ZSTD_d_windowLogMax]: Math.log2(MOST_WINDOW_BYTES) },
  })
}

function broken(at: number, reason: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the zstd file is broken near byte ${at}: ${reason}. Its hash is the expected one, so it was made like this: ` +
      'zstd --test tells the same; make it anew',
  )
}
