import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../../agent/core/errors.ts'
import { judgeQcow2Header } from '../../../../../agent/image/formats/qcow2/header.ts'
import {
  buildQcow2,
  FIELDS,
  type FieldName,
  setField,
} from '../../../../support/formats/qcow2-builder.ts'

type Fields = Partial<Record<FieldName, number | bigint>>

const MiB = 1024 * 1024

const REFUSED: readonly (readonly [string, Fields, string])[] = [
  ['another magic', { magic: 0x51464900 }, 'no qcow2 header'],
  ['version 1', { version: 1 }, 'says version 1; versions 2 and 3 are read'],
  ['a version to come', { version: 4 }, 'says version 4;'],
  ['a backing file', { backingFileOffset: 0x200 }, 'a backing file (its name at byte 512)'],
  ['a backing file in version 2', { version: 2, backingFileOffset: 1n << 60n }, 'a backing file'],
  [
    'an external data file',
    { incompatible: 4 },
    'an external data file (incompatible feature bit 2)',
  ],
  ['a corrupt image', { incompatible: 2 }, 'the mark of a corrupt image'],
  ['unknown features', { incompatible: (1n << 5n) | (1n << 63n) }, 'bits 5, 63; bits 0, 3 and 4'],
  ['AES', { cryptMethod: 1 }, 'encryption (crypt_method 1, AES)'],
  ['LUKS', { cryptMethod: 2 }, 'encryption (crypt_method 2, LUKS)'],
  ['an unknown cipher', { cryptMethod: 77 }, 'encryption (crypt_method 77, unknown)'],
  ['clusters of 256 bytes', { clusterBits: 8 }, 'cluster_bits 8; allowed are 9 to 21'],
  ['clusters of 4 MiB', { clusterBits: 22 }, 'cluster_bits 22;'],
  ['clusters of 2^4294967295 bytes', { clusterBits: 0xffff_ffff }, 'cluster_bits 4294967295;'],
  ['a header that ends within itself', { headerLength: 103 }, 'header_length 103; allowed are'],
  ['a header that ends between fields', { headerLength: 109 }, 'header_length 109;'],
  ['a header longer than a cluster', { headerLength: 65_544 }, 'header_length 65544;'],
  ['an unknown compression', { compressionType: 2, incompatible: 8 }, 'compression_type 2 with'],
  [
    'zstd without its feature bit',
    { compressionType: 1 },
    'compression_type 1 with incompatible feature bit 3 clear',
  ],
  [
    'zlib with a feature bit',
    { incompatible: 8 },
    'compression_type 0 with incompatible feature bit 3 set',
  ],
  [
    'extended L2 in clusters too small for it',
    { incompatible: 16, clusterBits: 13, l1TableOffset: 8192 },
    'they need 14 or more',
  ],
  ['no disk', { size: 0 }, 'a virtual size of 0 bytes'],
  ['a disk that ends within a sector', { size: 1000 }, 'a virtual size of 1000 bytes'],
  ['a disk of 2^63 bytes', { size: 1n << 63n }, 'a virtual size of 9223372036854775808 bytes'],
  [
    'an L1 table of 2^32 entries',
    { l1Size: 0xffff_ffff },
    'an L1 table of 4294967295 entries; at most 4194304',
  ],
  [
    'an L1 table that the disk is too large for',
    { size: 1n << 50n },
    `${1n << 50n} bytes of virtual size take 2097152, at most 4194304`,
  ],
  [
    'a disk that takes an L1 table of 2^40 entries',
    { size: 1n << 52n, clusterBits: 9, l1TableOffset: 512 },
    'bytes of virtual size take 137438953472, at most 4194304',
  ],
  [
    'an L1 table in the header',
    { l1TableOffset: 0 },
    'the L1 table at byte 0; allowed are multiples',
  ],
  ['an L1 table between clusters', { l1TableOffset: 65_544 }, 'the L1 table at byte 65544;'],
  [
    'an L1 table at the end of all numbers',
    { l1TableOffset: 0xffff_ffff_ffff_0000n },
    'the L1 table at byte 18446744073709486080;',
  ],
  ['a refcount table in the header', { refcountTableClusters: 1 }, 'the refcount table at byte 0;'],
  [
    'a huge refcount table',
    { refcountTableClusters: 0xffff_ffff, refcountTableOffset: 65_536 },
    'at most 8388608',
  ],
]

const ALLOWED: readonly (readonly [string, Fields])[] = [
  [
    'version 2, whatever stands where version 3 has fields',
    { version: 2, incompatible: -1n & 0xffn, headerLength: 7 },
  ],
  ['a dirty image', { incompatible: 1 }],
  ['zstd', { incompatible: 8, compressionType: 1 }],
  ['extended L2', { incompatible: 16 }],
  [
    'lazy refcounts and features to come that a reader may ignore',
    { compatible: (1n << 64n) - 1n, autoclear: (1n << 64n) - 1n },
  ],
  ['snapshots', { nbSnapshots: 3, snapshotsOffset: 1n << 40n }],
  ['a header without the field of the compression', { headerLength: 104, compressionType: 9 }],
  ['a longer header', { headerLength: 65_536 }],
  ['an L1 table with room for a saved state', { l1Size: 4_194_304 }],
]

describe('the header of a qcow2', () => {
  test.each(REFUSED)('is refused for %s, with what was found', (_what, fields, message) => {
    const found = refusalOf(buildQcow2({ fields }))
    expect(found).toContain(message)
  })

  test.each(ALLOWED)('is read with %s', (_what, fields) => {
    expect(judgeQcow2Header(buildQcow2({ fields })).virtualBytes).toBe(512 * 1024)
  })

  test('has its sizes', () => {
    const fields = { size: 5 * MiB + 512, clusterBits: 9, l1TableOffset: 1024, l1Size: 1000 }
    const header = judgeQcow2Header(buildQcow2({ fields }))
    // 64 entries of 512 bytes: an L1 entry stands for 32 KiB
    expect(header).toMatchObject({
      virtualBytes: 5 * MiB + 512,
      clusterBytes: 512,
      l2Entries: 64,
      l1: { offset: 1024, length: 8 * 161 },
    })
  })

  test.each([0, 1, 71, 72, 103])('is refused when the file ends after %i bytes of it', (bytes) => {
    expect(refusalOf(buildQcow2().subarray(0, bytes))).toMatch(/no qcow2 header|within its header/)
  })

  test('is read or refused whatever its fields are, with numbers that a reader can count on', () => {
    const names = Object.keys(FIELDS) as FieldName[]
    const value = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.nat(100).map(BigInt))
    const changes = fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 4 })
    fc.assert(
      fc.property(changes, (fields) => {
        const file = buildQcow2()
        for (const [name, number] of fields)
          setField(file, name, BigInt.asUintN(FIELDS[name][1], number))
        let header: ReturnType<typeof judgeQcow2Header>
        try {
          header = judgeQcow2Header(file)
        } catch (error) {
          expect(isAgentError(error, 'InvalidImage')).toBe(true)
          return
        }
        expect(Number.isSafeInteger(header.virtualBytes)).toBe(true)
        expect(header.l1.length).toBeLessThanOrEqual(32 * MiB)
        expect(Number.isSafeInteger(header.l1.offset + header.l1.length)).toBe(true)
        expect(header.clusterBytes).toBeLessThanOrEqual(2 * MiB)
      }),
      { numRuns: 2000 },
    )
  })
})

function refusalOf(bytes: Uint8Array): string {
  try {
    judgeQcow2Header(bytes)
  } catch (error) {
    if (isAgentError(error, 'InvalidImage')) return error.message
    throw error
  }
  return 'not refused'
}
