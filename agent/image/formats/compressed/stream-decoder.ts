// SPDX-License-Identifier: Apache-2.0
// Owns one decoder of node:zlib and what it makes: written to with back-pressure, its end and its errors known.
// Does not know formats.
import type { Transform } from 'node:stream'
import { isAgentError, messageOf } from '../../../core/errors.ts'

/** A stream of node:zlib that decodes. */
export type ZlibDecoder = Transform & {
  /** Input that it has made use of. */
  readonly bytesWritten: number
}

export interface StreamDecoder extends Disposable {
  /** Input that it has made use of; less than it was given once it has come to an end of its own. */
  readonly consumedBytes: number
  /** Resolves when the bytes are made use of, or are behind its end. Throws what it finds wrong. */
  write(bytes: Uint8Array): Promise<void>
  /** No more input: resolves when everything it makes of it has been pushed. Throws what it finds wrong. */
  end(): Promise<void>
}

/**
 * @param push takes what was decoded, in order; what it throws ends the decoder, and is thrown on
 * @param faultOf the error for data that the decoder refuses
 */
export function runDecoder(
  decoder: ZlibDecoder,
  push: (bytes: Uint8Array) => Promise<void>,
  faultOf: (reason: string) => Error,
): StreamDecoder {
  const drain = async () => {
    for await (const chunk of decoder as AsyncIterable<Uint8Array<ArrayBuffer>>) {
      await push(chunk)
      giveBack(chunk)
    }
  }
  const drained = drain()
  // met by write() or end()
  drained.catch(() => undefined)
  const rethrow = (error: unknown): never => {
    const isZlibs = error instanceof Error && !isAgentError(error) && 'errno' in error
    throw isZlibs ? faultOf(messageOf(error)) : error
  }
  return {
    get consumedBytes() {
      return decoder.bytesWritten
    },
    write: async (bytes) => {
      if (decoder.destroyed || decoder.readableEnded) return await drained.catch(rethrow)
      const taken = Promise.withResolvers<void>()
      decoder.write(bytes, () => taken.resolve())
      // one that has come to its end closes without an answer
      await Promise.race([taken.promise, drained]).catch(rethrow)
    },
    end: async () => {
      if (!decoder.destroyed) decoder.end()
      await drained.catch(rethrow)
    },
    [Symbol.dispose]: () => {
      decoder.destroy()
    },
  }
}

/**
 * Frees the memory of a chunk at once: left to the collector it grows by 64 MiB. A decoder goes on with what is left
 * of its buffer, so only one that is used up to its end is freed.
 */
function giveBack({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): void {
  if (byteLength > 0 && byteOffset + byteLength === buffer.byteLength) buffer.transfer(0)
}
