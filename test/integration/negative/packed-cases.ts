// SPDX-License-Identifier: Apache-2.0
// Owns the failures of images that are unpacked: what they are named, what is in them, room for them, and what
// befalls the disk meanwhile.
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { JsonObject } from '../../../agent/core/json.ts'
import { type DeployLab, MiB } from '../image/deploy-lab.ts'
import type { Arrangement, FailureCase } from './failure-case.ts'

const run = promisify(execFile)

/** What the origin serves is this from now on, and its hash the expected one. */
function serve({ origin }: DeployLab, bytes: Uint8Array): JsonObject {
  origin.replace(Buffer.from(bytes))
  return { os_hash_value: createHash('sha256').update(bytes).digest('hex') }
}

async function packed(
  lab: DeployLab,
  pack: (bytes: Uint8Array) => Uint8Array = zstdCompressSync,
): Promise<JsonObject> {
  return serve(lab, pack(await readFile(lab.image.path)))
}

async function asQcow2(
  lab: DeployLab,
  change: (file: Buffer) => void = () => undefined,
  options: readonly string[] = [],
) {
  const path = `${lab.image.path}.qcow2`
  await run('qemu-img', ['convert', ...options, '-f', 'raw', '-O', 'qcow2', lab.image.path, path])
  const bytes = await readFile(path)
  change(bytes)
  return { fields: { disk_format: 'qcow2', ...serve(lab, bytes) } }
}

/** One with compressed clusters: its file is kept until it is unpacked. */
async function asKept(lab: DeployLab) {
  return await asQcow2(lab, () => undefined, ['-c'])
}

/** The entries of the first L2 table, by their numbers; flags are left out. */
function entriesOf(file: Buffer) {
  const offsetAt = (at: number) => file.readBigUInt64BE(at) & 0x00ff_ffff_ffff_fe00n
  const table = Number(offsetAt(Number(offsetAt(40))))
  return {
    get: (entry: number) => offsetAt(table + 8 * entry),
    set: (entry: number, value: bigint) => void file.writeBigUInt64BE(value, table + 8 * entry),
  }
}

/** Once the image is fetched the server has it with two clusters in each other's places. */
async function changedMeanwhile(
  lab: DeployLab,
  hash: 'of what was told' | 'of what is served',
): Promise<Arrangement> {
  let told = Buffer.alloc(0)
  let served: Uint8Array = told
  const { fields: after } = await asQcow2(lab, (file) => {
    told = Buffer.from(file)
    const entries = entriesOf(file)
    const [first, second] = [entries.get(20), entries.get(21)]
    entries.set(20, second)
    entries.set(21, first)
    served = file
  })
  const before = serve(lab, told)
  let isChanged = false
  return {
    fields: { ...after, ...(hash === 'of what was told' ? before : {}) },
    onProgress: ({ step }) => {
      if (step !== 'fetch' || isChanged) return
      isChanged = true
      lab.origin.replace(served)
    },
  }
}

async function zeroOut({ image }: DeployLab, offset: number, length: number): Promise<void> {
  await using file = await open(image.path, 'r+')
  await file.write(Buffer.alloc(length), 0, length, offset)
}

/** When the first reading back begins. */
function atReadBack(act: () => void): NonNullable<Arrangement['onProgress']> {
  let isDone = false
  return ({ step }) => {
    if (step !== 'read-back' || isDone) return
    isDone = true
    act()
  }
}

/** Of a file that is kept, at the second reading back: what was unpacked is on the disk. */
function whenUnpacked(act: () => void): NonNullable<Arrangement['onProgress']> {
  let isUnpacked = false
  return ({ step }) => {
    if (step === 'unpack') isUnpacked = true
    if (step !== 'read-back' || !isUnpacked) return
    isUnpacked = false
    act()
  }
}

export const PACKED_CASES: readonly FailureCase[] = [
  {
    name: 'a disk image that is named qcow2',
    arrange: () => ({ fields: { disk_format: 'qcow2' } }),
    error: 'InvalidImage',
    details: /disk_format is qcow2, but the image's first bytes show gpt/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 that is named raw',
    arrange: async (lab) => ({
      fields: { ...(await asQcow2(lab)).fields, disk_format: 'raw' },
    }),
    error: 'InvalidImage',
    details: /the image is qcow2, although disk_format is raw/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 where it is not permitted',
    arrange: async (lab) => ({
      ...(await asQcow2(lab)),
      config: { permitted_image_formats: ['raw', 'gpt'] },
    }),
    error: 'InvalidImage',
    details: /the image is qcow2, permitted_image_formats has only raw, gpt/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 with a backing file',
    arrange: async (lab) =>
      await asQcow2(lab, (file) => {
        file.writeBigUInt64BE(0x200n, 8)
        file.writeUInt32BE(11, 16)
        file.write('/etc/shadow', 0x200, 'latin1')
      }),
    error: 'InvalidImage',
    details: /the header of the qcow2 says a backing file/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 that is a GPT disk too',
    arrange: async (lab) =>
      await asQcow2(lab, (file) => {
        file.write('EFI PART', 512, 'latin1')
      }),
    error: 'InvalidImage',
    details: /the image is qcow2 and gpt at the same time/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 for whose disk there is no room, and for the rest of its file',
    lab: { disk: { sizeBytes: 17 * MiB } },
    arrange: async (lab) => await asQcow2(lab),
    error: 'InvalidImage',
    details:
      /takes 16.0 MiB \(16777216 bytes\).*what of the file is no part of its disk \d{6} bytes behind it.*has room for 17825792: choose/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 for whose disk there is no room, from a server that gives no parts of it',
    lab: { disk: { sizeBytes: 20 * MiB }, origin: { faults: { ignoreRange: true } } },
    arrange: async (lab) => await asQcow2(lab),
    error: 'InvalidImage',
    details: /takes 16.0 MiB \(16777216 bytes\).*behind it.*has room for 20971520: choose a larger/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 whose tables are damaged',
    arrange: async (lab) => await asQcow2(lab, (file) => entriesOf(file).set(1, 77_824n)),
    error: 'InvalidImage',
    details: /from 65536 on lies at byte 77824 of the file, which is no multiple/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 whose disk has no partition table',
    arrange: async (lab) =>
      await asQcow2(lab, (file) => {
        file.writeUInt16LE(0, Number(entriesOf(file).get(0)) + 510)
      }),
    error: 'InvalidImage',
    details: /first sector holds no partition table/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 with other tables than its server told before',
    arrange: async (lab) => await changedMeanwhile(lab, 'of what is served'),
    error: 'InvalidImage',
    details: /the tables of the proved qcow2 say other places of its clusters/,
  },
  {
    name: 'a qcow2 that its server has exchanged since its tables were asked for',
    arrange: async (lab) => await changedMeanwhile(lab, 'of what was told'),
    error: 'ImageChecksumError',
    details: /image_info says/,
  },
  {
    name: 'a disk that loses a cluster of a qcow2',
    arrange: async (lab) => ({
      ...(await asQcow2(lab)),
      onProgress: atReadBack(() => overwriteNow(lab, 5 * MiB)),
    }),
    error: 'ReadBackMismatchError',
    details: /Bytes \d+–\d+ do not read back as they were written/,
  },
  {
    name: 'a disk that loses zeros where a qcow2 has no cluster',
    arrange: async (lab) => {
      await zeroOut(lab, 6 * MiB, 6 * MiB)
      return {
        ...(await asQcow2(lab)),
        onProgress: atReadBack(() => overwriteNow(lab, 9 * MiB)),
      }
    },
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
  },
  {
    name: 'an abort while the clusters of a qcow2 come in',
    lab: { imageBytes: 64 * MiB, origin: { faults: { rateBytesPerSecond: 64 * MiB } } },
    arrange: async (lab) => {
      const controller = new AbortController()
      return {
        ...(await asQcow2(lab)),
        signal: controller.signal,
        onProgress: ({ step, percent }) => {
          if (step === 'fetch' && percent > 10) controller.abort()
        },
      }
    },
    error: 'CancelledError',
    details: /cancelled/,
  },
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
    details: /instance_info says that the image is packed by gzip, but its first bytes show zstd/,
    isUntouched: true,
  },
  {
    name: 'a file that is kept, of another hash: no decoder sees it',
    arrange: async (lab) => ({
      fields: { ...(await asKept(lab)).fields, os_hash_value: 'ab'.repeat(32) },
      onProgress: ({ step }) => {
        if (step === 'unpack') throw new Error('it was unpacked')
      },
    }),
    error: 'ImageChecksumError',
    details: /image_info says abab/,
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
    name: 'a disk that loses what was unpacked from a file that is kept',
    arrange: async (lab) => ({
      ...(await asKept(lab)),
      onProgress: whenUnpacked(() => overwriteNow(lab, 5 * MiB)),
    }),
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
  },
  {
    name: 'an abort while a file that is kept is unpacked',
    lab: { imageBytes: 64 * MiB },
    arrange: async (lab) => {
      const controller = new AbortController()
      return {
        ...(await asKept(lab)),
        signal: controller.signal,
        onProgress: ({ step }) => {
          if (step === 'unpack') controller.abort()
        },
      }
    },
    error: 'CancelledError',
    details: /cancelled/,
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

/** Within the progress event, so that it has happened before the next step of the agent. */
function overwriteNow({ disk }: DeployLab, offset: number): void {
  const fd = openSync(disk.backingFile, 'r+')
  writeSync(fd, randomBytes(512), 0, 512, offset)
  closeSync(fd)
}
