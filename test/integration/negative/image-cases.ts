// SPDX-License-Identifier: Apache-2.0
// Owns the failures that lie in the image, its description or the config drive.
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { describeImage } from '../../support/disk-image.ts'
import { MiB } from '../image/deploy-lab.ts'
import type { FailureCase } from './failure-case.ts'

export const IMAGE_CASES: readonly FailureCase[] = [
  {
    name: 'a wrong checksum',
    arrange: () => ({ fields: { os_hash_value: 'ab'.repeat(32) } }),
    error: 'ImageChecksumError',
    details: /image_info says abab.*source was http.*check os_hash_value/,
  },
  {
    name: 'a checksum no image can have',
    arrange: () => ({ fields: { os_hash_value: 'ab' } }),
    error: 'ImageChecksumError',
    details: /2 hex digits, but sha256 has 64/,
    isUntouched: true,
  },
  {
    name: 'an image larger than the disk',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: () => ({}),
    error: 'InvalidImage',
    details: /16777216 bytes, \/dev\/loop\d+ only 12582912; choose a larger disk/,
    isUntouched: true,
  },
  {
    name: 'an image larger than the disk, of unknown length',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: ({ origin }) => {
      origin.faults = { chunked: true, ignoreRange: true }
      return {}
    },
    error: 'InvalidImage',
    details: /bytes, \/dev\/loop\d+ only 12582912/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 without disk_format',
    arrange: async ({ image }) => {
      await overwrite(image.path, 0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'))
      return { fields: { disk_format: null } }
    },
    error: 'InvalidImage',
    details: /the header of the qcow2 says/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 without disk_format from a server without Range',
    arrange: async ({ image, origin }) => {
      await overwrite(image.path, 0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'))
      origin.faults = { ignoreRange: true }
      return { fields: { disk_format: null } }
    },
    error: 'InvalidImage',
    details: /the header of the qcow2 says/,
    isUntouched: true,
  },
  {
    name: 'a disk packed in a way that is not unpacked, named raw',
    arrange: async ({ image }) => {
      await overwrite(image.path, 0, Buffer.from('\x04\x22\x4d\x18', 'latin1'))
      // an MBR signature would outweigh it, and so would a GPT behind it
      await overwrite(image.path, 510, Buffer.alloc(10))
      return {}
    },
    error: 'InvalidImage',
    details: /the image is lz4, although disk_format is raw/,
    isUntouched: true,
  },
  {
    name: 'a whole-disk image that is named a partition image',
    arrange: () => ({ fields: { image_type: 'partition', root_mb: 16 } }),
    error: 'InvalidImage',
    details: /image_type is partition, but the image holds a GPT/,
    isUntouched: true,
  },
  {
    name: 'an image without a partition table',
    arrange: async ({ image }) => {
      await overwrite(image.path, 0, new Uint8Array(MiB))
      return { fields: { os_hash_value: (await describeImage(image.path)).sha256 } }
    },
    error: 'InvalidImage',
    details: /first sector holds no partition table/,
    isUntouched: true,
  },
  {
    name: 'a GPT for other sectors than the disk has',
    lab: { disk: { sectorBytes: 4096 } },
    arrange: () => ({}),
    error: 'DeploymentError',
    details: /GPT for 512-byte sectors/,
  },
  {
    name: 'a config drive that is none',
    arrange: () => ({ configdrive: Buffer.from('hello').toString('base64') }),
    error: 'DeploymentError',
    details: /not a base64-encoded gzip/,
    isUntouched: true,
  },
  {
    name: 'a config drive for which there is no room',
    lab: { disk: { sizeBytes: 20 * MiB } },
    arrange: () => ({ configdrive: gzipSync(randomBytes(4096)).toString('base64') }),
    error: 'DeploymentError',
    details: /no free 64.0 MiB for the config drive/,
  },
  {
    name: 'an abort',
    arrange: () => {
      const controller = new AbortController()
      return {
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

async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, offset)
}
