// SPDX-License-Identifier: Apache-2.0
// Owns the failures of images that are packed: what they are named, what is in them, room for them, and what
// befalls the disk meanwhile.
import { readFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { MiB } from '../image/deploy-lab.ts'
import type { FailureCase } from './failure-case.ts'
import { atReadBack, overwriteNow, packed, serve } from './packed-arrangements.ts'

export const PACKED_CASES: readonly FailureCase[] = [
  {
    name: 'a zstd file that tells more bytes than the disk has',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: async (lab) => ({ fields: await packed(lab) }),
    error: 'InvalidImage',
    details: /has 16777216 bytes, \S+ only 12582912; choose a larger disk/,
    isUntouched: true,
  },
  {
    name: 'a gzip file that holds more bytes than the disk has, which only shows while it is unpacked',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: async (lab) => ({ fields: await packed(lab, gzipSync) }),
    error: 'InvalidImage',
    details: /the gzip file holds an image of \d+ bytes or more; there is room for \d+/,
  },
  {
    name: 'a packed image that the node says is packed otherwise',
    arrange: async (lab) => ({
      fields: await packed(lab),
      node: { instance_info: { image_compression_type: 'gzip' } },
    }),
    error: 'InvalidImage',
    details: /is said to be packed by gzip, but its first bytes show zstd/,
    isUntouched: true,
  },
  {
    name: 'a packed image of another hash',
    arrange: async (lab) => ({
      fields: { ...(await packed(lab)), os_hash_value: 'ab'.repeat(32) },
    }),
    error: 'ImageChecksumError',
    details: /of the \d+ bytes that came is [0-9a-f]+, image_info says abab/,
  },
  {
    name: 'a packed image that was cut before it was hashed',
    arrange: async (lab) => ({
      fields: await packed(lab, (bytes) => zstdCompressSync(bytes).subarray(0, -1000)),
    }),
    error: 'InvalidImage',
    details: /ends at byte \d+ within a frame/,
  },
  {
    name: 'a packed image that is packed twice',
    arrange: async (lab) => ({
      fields: await packed(lab, (bytes) => zstdCompressSync(gzipSync(bytes))),
    }),
    error: 'InvalidImage',
    details: /what is packed in the zstd file is gzip, not a raw disk image/,
    isUntouched: true,
  },
  {
    name: 'a packed file system without a partition table',
    arrange: async (lab) => {
      const bytes = Buffer.alloc(4 * MiB)
      bytes.writeUInt16LE(0xef53, 0x438)
      return { fields: serve(lab, zstdCompressSync(bytes)) }
    },
    error: 'InvalidImage',
    details: /no partition table.*ext4/,
    isUntouched: true,
  },
  {
    name: 'a disk that loses what was unpacked as it came',
    arrange: async (lab) => ({
      fields: await packed(lab),
      onProgress: atReadBack(() => overwriteNow(lab, 5 * MiB)),
    }),
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
  },
  {
    name: 'a disk that loses zeros that were unpacked as they came',
    arrange: async (lab) => {
      const bytes = await readFile(lab.image.path)
      bytes.fill(0, 6 * MiB, 12 * MiB)
      return {
        fields: serve(lab, zstdCompressSync(bytes)),
        onProgress: atReadBack(() => overwriteNow(lab, 9 * MiB)),
      }
    },
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
  },
  {
    name: 'an abort when a file was unpacked as it came',
    lab: { imageBytes: 64 * MiB },
    arrange: async (lab) => {
      const controller = new AbortController()
      return {
        fields: await packed(lab),
        signal: controller.signal,
        onProgress: ({ step }) => {
          if (step === 'read-back') controller.abort()
        },
      }
    },
    error: 'CancelledError',
    details: /cancelled/,
  },
]
