// SPDX-License-Identifier: Apache-2.0
// Owns the decoding of one compressed cluster, in the thread that calls. Does not know where it lies.
import { constants, inflateRawSync, zstdDecompressSync } from 'node:zlib'
import { messageOf } from '../../../../core/errors.ts'
import { copyToShared } from '../../../../core/shared-copy.ts'
import type { Qcow2Header } from '../header.ts'

/** A raw deflate stream (RFC 1951) of QEMU looks back at most 4 KiB. */
const DEFLATE_WINDOW_BITS = 12
/** 2 MiB, the largest cluster: no frame (RFC 8878) has use for a larger window. */
const ZSTD_WINDOW_LOG = 21

/** What a decoder has to know of the file. */
export type ClusterPacking = Pick<Qcow2Header, 'compression' | 'clusterBytes'>

/**
 * Decodes one cluster and copies as much of it as `target` has room for; what follows the data is not looked at.
 * Returns what is wrong with one that is broken, or that decodes to less or more than a cluster. One of 64 KiB takes
 * 0.1 to 0.3 ms, the largest 10 ms.
 */
export type DecodeCluster = (data: Uint8Array, target: Uint8Array) => string | undefined

export function createClusterDecoder({ compression, clusterBytes }: ClusterPacking): DecodeCluster {
  const decode = compression === 'zstd' ? zstdDecompressSync : inflateRawSync
  const options = {
    windowBits: DEFLATE_WINDOW_BITS,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
    maxOutputLength: clusterBytes,
    // Room for a little more than comes out: else Node asks again for what follows the frame, and fails
    chunkSize: clusterBytes + 64,
  }
  return (data, target) => {
    let decoded: Buffer
    try {
      decoded = decode(data, options)
    } catch (error) {
      return `does not decode as ${compression} to ${clusterBytes} bytes: ${messageOf(error)}`
    }
    if (decoded.length !== clusterBytes) {
      return `decodes to ${decoded.length} bytes; a cluster has ${clusterBytes}`
    }
    copyToShared(target, decoded.subarray(0, target.length), 0)
    // given back at once: V8 lets garbage of this kind grow to 64 MiB. Small ones lie in Node's own buffer
    const isAlone = decoded.buffer.byteLength === options.chunkSize
    if (isAlone) (decoded.buffer as ArrayBuffer).transfer(0)
    return undefined
  }
}

/** Clusters that are decoded in one go, between memory that threads may share. */
export interface DecodeOrder {
  readonly input: Uint8Array
  readonly output: Uint8Array
  readonly clusters: readonly PackedCluster[]
}

export interface PackedCluster {
  /** Of the input. */
  readonly from: number
  readonly bytes: number
  /** Of the output. */
  readonly to: number
  /** What of the cluster is wanted. */
  readonly length: number
}

/** The cluster that is broken; null for none. */
export type DecodeAnswer = { readonly index: number; readonly why: string } | null

/** One after the other; ends with the first that is broken. */
export function decodeOrder(
  { input, output, clusters }: DecodeOrder,
  decode: DecodeCluster,
): DecodeAnswer {
  for (const [index, { from, bytes, to, length }] of clusters.entries()) {
    const why = decode(input.subarray(from, from + bytes), output.subarray(to, to + length))
    if (why !== undefined) return { index, why }
  }
  return null
}
