// SPDX-License-Identifier: Apache-2.0
// Owns the failures of containers that are packed in a file: what they are named, what is wrong in them, room for them,
// and what befalls the disk on the two ways that they take.
import { readFile, writeFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { skippableFrame } from '../../support/formats/packed-image.ts'
import { MiB } from '../image/deploy-lab.ts'
import type { FailureCase } from './failure-case.ts'
import {
  asPackedContainer,
  atReadBack,
  overwriteNow,
  packed,
  serve,
  whenUnpacked,
} from './packed-arrangements.ts'

/** Of the qcow2 in the file, behind an image of 16 MiB. */
const CONTAINER_AT = 16 * MiB

export const CONTAINER_CASES: readonly FailureCase[] = [
  {
    name: 'a qcow2 in a file that is named raw',
    arrange: async (lab) => ({
      fields: { ...(await asPackedContainer(lab)), disk_format: 'raw' },
    }),
    error: 'InvalidImage',
    details: /the image is qcow2, although disk_format is raw/,
    isUntouched: true,
  },
  {
    name: 'a raw disk in a file that is named qcow2',
    arrange: async (lab) => ({ fields: { ...(await packed(lab)), disk_format: 'qcow2' } }),
    error: 'InvalidImage',
    details: /disk_format is qcow2, but what is packed in the zstd file is/,
    isUntouched: true,
  },
  {
    name: 'one that is not permitted',
    arrange: async (lab) => ({
      fields: await asPackedContainer(lab),
      config: { permitted_image_formats: ['raw', 'gpt'] },
    }),
    error: 'InvalidImage',
    details: /the image is qcow2, permitted_image_formats has only raw, gpt/,
    isUntouched: true,
  },
  {
    name: 'one with a backing file',
    arrange: async (lab) => ({
      fields: await asPackedContainer(lab, { change: nameBackingFile, pack: gzipSync }),
    }),
    error: 'InvalidImage',
    details: /backing file/,
    isUntouched: true,
  },
  {
    name: 'one of a disk that is larger than this one',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: async (lab) => ({ fields: await asPackedContainer(lab, { pack: gzipSync }) }),
    error: 'InvalidImage',
    details: /has 16777216 bytes, \S+ only 12582912; choose a larger disk/,
    isUntouched: true,
  },
  {
    name: 'one for which there is no room behind its image',
    lab: { disk: { sizeBytes: 24 * MiB } },
    arrange: async (lab) => ({ fields: await asPackedContainer(lab) }),
    error: 'InvalidImage',
    details:
      /takes 16.0 MiB .* when it is unpacked, the qcow2 that is packed in its file \d+ bytes behind it/,
    isUntouched: true,
  },
  {
    name: 'one for which there is no room, which only shows while the file is unpacked',
    lab: { disk: { sizeBytes: 24 * MiB } },
    arrange: async (lab) => ({ fields: await asPackedContainer(lab, { pack: gzipSync }) }),
    error: 'InvalidImage',
    details: /the gzip file holds an image of \d+ bytes or more; there is room for 7340032/,
  },
  {
    name: 'a vhdx in a file, whose header does not tell the size of its disk',
    arrange: async (lab) => ({
      fields: await asPackedContainer(lab, { driver: 'vhdx' }),
      config: { permitted_image_formats: ['raw', 'vhdx'] },
    }),
    error: 'InvalidImage',
    details: /what is packed in the zstd file is vhdx, whose header does not tell/,
    isUntouched: true,
  },
  {
    name: 'one of another hash',
    arrange: async (lab) => ({
      fields: { ...(await asPackedContainer(lab)), os_hash_value: 'ab'.repeat(32) },
    }),
    error: 'ImageChecksumError',
    details: /of the \d+ bytes that came is [0-9a-f]+, image_info says abab/,
  },
  {
    name: 'one whose tables are damaged',
    arrange: async (lab) => ({
      fields: await asPackedContainer(lab, { change: damageL1 }),
    }),
    error: 'InvalidImage',
    details: /qcow2/,
  },
  {
    name: 'one of a disk without a partition table',
    arrange: async (lab) => {
      await writeFile(lab.image.path, Buffer.alloc(16 * MiB))
      return { fields: await asPackedContainer(lab) }
    },
    error: 'InvalidImage',
    details: /no partition table/,
  },
  {
    name: 'a server that has a raw disk in the file when that is fetched',
    arrange: async (lab) => {
      const path = `${lab.image.path}.qcow2`
      await asPackedContainer(lab)
      const container = zstdCompressSync(await readFile(path))
      const raw = zstdCompressSync(await readFile(lab.image.path))
      const bytes = Math.max(container.length, raw.length) + 8
      const fields = serve(lab, padded(raw, bytes))
      serve(lab, padded(container, bytes))
      return {
        fields: { ...fields, disk_format: null },
        onProgress: ({ step }) => {
          if (step === 'fetch') serve(lab, padded(raw, bytes))
        },
      }
    },
    error: 'InvalidImage',
    details: /what is packed in the zstd file is a raw disk, .* it serves two files/,
  },
  {
    name: 'a disk that loses the qcow2 before it is unpacked',
    arrange: async (lab) => ({
      fields: await asPackedContainer(lab),
      onProgress: atReadBack(() => overwriteNow(lab, CONTAINER_AT + 5 * MiB)),
    }),
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
  },
  {
    name: 'a disk that loses what was unpacked from the qcow2',
    arrange: async (lab) => ({
      fields: await asPackedContainer(lab),
      onProgress: whenUnpacked(() => overwriteNow(lab, 5 * MiB)),
    }),
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
  },
  {
    name: 'an abort while the qcow2 is unpacked',
    arrange: async (lab) => {
      const controller = new AbortController()
      return {
        fields: await asPackedContainer(lab),
        signal: controller.signal,
        onProgress: ({ step }) => {
          if (step === 'unpack') controller.abort()
        },
      }
    },
    error: 'CancelledError',
    details: /cancelled/,
  },
]

/** The file, as long as this. */
function padded(file: Buffer, bytes: number): Buffer {
  return Buffer.concat([file, skippableFrame(bytes - file.length - 8)])
}

/** In the header: a name of 4 bytes at byte 512 (qcow2 specification). */
function nameBackingFile(file: Buffer): void {
  file.writeBigUInt64BE(512n, 8)
  file.writeUInt32BE(4, 16)
  file.write('base', 512)
}

/** The first entry of the L1 table leads behind the end of the file. */
function damageL1(file: Buffer): void {
  file.writeBigUInt64BE(0x8000_00ff_ffff_0000n, Number(file.readBigUInt64BE(40)))
}
