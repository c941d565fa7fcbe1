// SPDX-License-Identifier: Apache-2.0
// Owns the decoding of one compressed cluster, on a thread of Node's pool. Does not know where it lies.
import { promisify } from 'node:util'
import { constants, inflateRaw, zstdDecompress } from 'node:zlib'
import { AgentError } from '../../../core/errors.ts'
import type { Qcow2Header } from './header.ts'

/** A raw deflate stream (RFC 1951) of QEMU looks back at most 4 KiB. */
const DEFLATE_WINDOW_BITS = 12
/** 2 MiB, the largest cluster: no frame (RFC 8878) has use for a larger window. */
const ZSTD_WINDOW_LOG = 21

/**
 * Decodes one cluster and copies as much of it as `target` has room for; what follows the data is not looked at.
 * @param where names the cluster in errors
 * Throws InvalidImage for what is broken, and for what decodes to less or more than a cluster.
 */
export type DecodeCluster = (data: Uint8Array, target: Uint8Array, where: string) => Promise<void>

export function createClusterDecoder({
  compression,
  clusterBytes,
}: Pick<Qcow2Header, 'compression' | 'clusterBytes'>): DecodeCluster {
  const decode = compression === 'zstd' ? promisify(zstdDecompress) : promisify(inflateRaw)
  const options = {
    windowBits: DEFLATE_WINDOW_BITS,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
    maxOutputLength: clusterBytes,
    // Room for a little more than comes out: else Node asks again for what follows the frame, and fails
    chunkSize: clusterBytes + 64,
  }
  return async (data, target, where) => {
    const decoded = await decode(data, options).catch((error: Error) => {
      throw new AgentError(
        'InvalidImage',
        `the compressed cluster ${where} does not decode as ${compression} to ${clusterBytes} bytes: ${error.message}`,
        { cause: error },
      )
    })
    if (decoded.length !== clusterBytes) {
      throw new AgentError(
        'InvalidImage',
        `the compressed cluster ${where} decodes to ${decoded.length} bytes; a cluster has ${clusterBytes}`,
      )
    }
    target.set(decoded.subarray(0, target.length))
    // given back at once: V8 lets garbage of this kind grow to 64 MiB. Small ones lie in Node's own buffer
    const isAlone = decoded.buffer.byteLength === options.chunkSize
    if (isAlone) decoded.buffer.transfer(0)
  }
}
