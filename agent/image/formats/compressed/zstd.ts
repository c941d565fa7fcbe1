// SPDX-License-Identifier: Apache-2.0
// Owns zstd (RFC 8878): one frame or many, as pzstd, seekable zstd and cat write them, skippable ones anywhere.
// A decoder of node:zlib ends without a word after its first frame, so each frame gets its own. Does not decode.
import { createZstdDecompress, constants as zlib } from 'node:zlib'
import { AgentError } from '../../../core/errors.ts'
import { MiB } from '../../../core/units.ts'
import type { UnpackInOrder } from '../unpacker.ts'
import { createImageOutput, type ImageOutput } from './image-output.ts'
import { runDecoder, type StreamDecoder } from './stream-decoder.ts'
import { assertDecodable, MOST_WINDOW_BYTES, ZstdFrame } from './zstd-frame.ts'

/** Unpacks what zstd has packed. Takes 10 MiB of memory and the window of a frame, 64 MiB at most. */
export const unpackZstd: UnpackInOrder = async (request) => {
  const output = createImageOutput({ ...request, format: 'zstd' })
  let frame: ZstdFrame | undefined
  let decoder: StreamDecoder | undefined
  try {
    for await (const { offset, bytes } of request.chunks) {
      for (let at = 0; at < bytes.length; ) {
        frame ??= new ZstdFrame(offset + at)
        if (!frame.header) {
          at = frame.readHeader(bytes, at)
          decoder = await openFrame(frame, output, offset + at)
        } else {
          const end = frame.walk(bytes, at)
          await decoder?.write(bytes.subarray(at, end))
          at = end
        }
        if (!frame.isEnded) continue
        await decoder?.end()
        decoder = undefined
        frame = undefined
      }
    }
    if (frame) throw frame.truncated(request.fileBytes)
    return await output.finish()
  } finally {
    decoder?.[Symbol.dispose]()
  }
}

/** The decoder of a frame with content; undefined for others, and as long as its header is not there. */
async function openFrame(
  { header }: ZstdFrame,
  output: ImageOutput,
  offset: number,
): Promise<StreamDecoder | undefined> {
  if (!header || header.isSkippable) return undefined
  assertDecodable(header)
  const zstd = createZstdDecompress({
    chunkSize: MiB,
    params: { [zlib.ZSTD_d_windowLogMax]: Math.log2(MOST_WINDOW_BYTES) },
  })
  const decoder: StreamDecoder = runDecoder(zstd, output.push, (reason) =>
    broken(offset + decoder.consumedBytes - header.bytes.length, reason),
  )
  await decoder.write(header.bytes)
  return decoder
}

function broken(at: number, reason: string): AgentError {
  return new AgentError(
    'InvalidImage',
    `the zstd file is broken near byte ${at}: ${reason}. Its hash is the expected one, so it was made like this: ` +
      'zstd --test tells the same; make it anew',
  )
}
