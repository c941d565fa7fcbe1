// SPDX-License-Identifier: Apache-2.0
// Owns the failures of qcow2 images: what stands in header and tables, clusters that do not decode, servers that have
// two of them, and what befalls the disk meanwhile.
import { type DeployLab, MiB } from '../image/deploy-lab.ts'
import type { Arrangement, FailureCase } from './failure-case.ts'
import {
  asKept,
  asQcow2,
  atReadBack,
  overwriteNow,
  serve,
  whenUnpacked,
  zeroOut,
} from './packed-arrangements.ts'

/** The entries of the first L2 table, by their numbers. */
function entriesOf(file: Buffer) {
  const offsetAt = (at: number) => file.readBigUInt64BE(at) & 0x00ff_ffff_ffff_fe00n
  const table = Number(offsetAt(Number(offsetAt(40))))
  return {
    get: (entry: number) => file.readBigUInt64BE(table + 8 * entry),
    /** Without flags. */
    placeOf: (entry: number) => offsetAt(table + 8 * entry),
    set: (entry: number, value: bigint) => void file.writeBigUInt64BE(value, table + 8 * entry),
  }
}

/** Once the image is fetched the server has it with two clusters in each other's places. */
async function changedMeanwhile(
  lab: DeployLab,
  hash: 'of what was told' | 'of what is served',
  options: readonly string[] = [],
): Promise<Arrangement> {
  let told = Buffer.alloc(0)
  let served: Uint8Array = told
  const exchange = (file: Buffer) => {
    told = Buffer.from(file)
    const entries = entriesOf(file)
    const [first, second] = [entries.get(20), entries.get(21)]
    entries.set(20, second)
    entries.set(21, first)
    served = file
  }
  const { fields: after } = await asQcow2(lab, exchange, options)
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

export const QCOW2_CASES: readonly FailureCase[] = [
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
        file.writeUInt16LE(0, Number(entriesOf(file).placeOf(0)) + 510)
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
    name: 'a qcow2 with compressed clusters, and other tables than its server told before',
    arrange: async (lab) => await changedMeanwhile(lab, 'of what is served', ['-c']),
    error: 'InvalidImage',
    details:
      /the tables of the qcow2 that came are others than those that its server answered before/,
  },
  {
    name: 'a qcow2 with compressed clusters that its server has exchanged since its tables were asked for',
    arrange: async (lab) => await changedMeanwhile(lab, 'of what was told', ['-c']),
    error: 'ImageChecksumError',
    details: /of the \d+ bytes that came is [0-9a-f]+, image_info says/,
  },
  {
    name: 'a qcow2 with compressed clusters of another hash',
    arrange: async (lab) => ({
      fields: {
        ...(await asQcow2(lab, () => undefined, ['-c'])).fields,
        os_hash_value: 'ab'.repeat(32),
      },
    }),
    error: 'ImageChecksumError',
    details: /of the \d+ bytes that came is [0-9a-f]+, image_info says abab/,
  },
  {
    name: 'a qcow2 whose tables are damaged behind a compressed cluster',
    arrange: async (lab) => await asQcow2(lab, (file) => entriesOf(file).set(200, 77_824n), ['-c']),
    error: 'InvalidImage',
    details: /lies at byte 77824 of the file, which is no multiple/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 whose disk has no partition table, in a compressed cluster',
    arrange: async (lab) => {
      await zeroOut(lab, 510, 2)
      return await asQcow2(lab, () => undefined, ['-c'])
    },
    error: 'InvalidImage',
    details: /first sector holds no partition table/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 with a compressed cluster that does not decode',
    arrange: async (lab) =>
      await asQcow2(lab, (file) => file.fill(0x55, file.length >> 1, (file.length >> 1) + 4096), [
        '-c',
      ]),
    error: 'InvalidImage',
    details:
      /the compressed cluster of the guest's bytes from \d+ on, at byte \d+ of the qcow2, does not decode as zlib/,
  },
  {
    name: 'a disk that loses a compressed cluster of a qcow2',
    arrange: async (lab) => ({
      ...(await asQcow2(lab, () => undefined, ['-c'])),
      onProgress: atReadBack(() => overwriteNow(lab, 5 * MiB)),
    }),
    error: 'ReadBackMismatchError',
    details: /bytes \d+–\d+ do not read back as they were unpacked/,
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
]
