// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import {
  judgeQemuHeader,
  QEMU_DRIVERS,
  type QemuFormat,
} from '../../../../agent/image/formats/qemu/judge-header.ts'

const DESCRIPTOR = `# Disk DescriptorFile
version=1
CID=1a2b3c4d
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW 49152 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "48"
`

interface VmdkParts {
  readonly descriptor?: string
  readonly sectors?: bigint
  readonly descriptorSector?: bigint
}

function vmdk({ descriptor = DESCRIPTOR, sectors = 49_152n, descriptorSector = 1n }: VmdkParts) {
  const bytes = Buffer.alloc(64 * 1024)
  bytes.write('KDMV', 0, 'latin1')
  bytes.writeUInt32LE(1, 4)
  bytes.writeBigUInt64LE(sectors, 12)
  bytes.writeBigUInt64LE(descriptorSector, 28)
  bytes.writeBigUInt64LE(20n, 36)
  bytes.write(descriptor, 512, 'latin1')
  return bytes
}

function vhd(type: number, size = 49_152n * 512n) {
  const bytes = Buffer.alloc(64 * 1024)
  bytes.write('conectix', 0, 'latin1')
  bytes.writeBigUInt64BE(size, 48)
  bytes.writeUInt32BE(type, 60)
  return bytes
}

function vdi(type: number, size = 49_152n * 512n) {
  const bytes = Buffer.alloc(64 * 1024)
  bytes.writeUInt32LE(0xbeda107f, 0x40)
  bytes.writeUInt32LE(type, 0x4c)
  bytes.writeBigUInt64LE(size, 0x170)
  return bytes
}

test.for([
  ['vmdk', vmdk({})],
  ['vmdk', vmdk({ descriptor: DESCRIPTOR.replace('monolithicSparse', 'streamOptimized') })],
  ['vhd', vhd(3)],
  ['vdi', vdi(1)],
  ['vdi', vdi(2)],
] as const)('the size of a %s is what its header says (%#)', ([format, bytes]) => {
  expect(judgeQemuHeader(format, bytes)).toEqual({ virtualBytes: 49_152 * 512 })
})

test.for([
  ['vmdk', 'a descriptor alone', Buffer.from(DESCRIPTOR), 'descriptor that names other files'],
  ['vdi', 'a disk of a sector and a half', vdi(1, 768n), 'whole sectors of 512'],
  ['vmdk', 'no capacity, so that the descriptor decides', vmdk({ sectors: 0n }), '0 bytes'],
  ['vmdk', 'a capacity of 2^63', vmdk({ sectors: 1n << 63n }), 'its capacity is 92233'],
  [
    'vmdk',
    'a parent behind the end of a descriptor of one sector',
    vmdk({ descriptor: `${'#'.repeat(511)}\n${DESCRIPTOR}parentFileNameHint="nbd:evil:10809"\n` }),
    'parent image',
  ],
  [
    'vmdk',
    'a descriptor where qemu does not look',
    vmdk({ descriptorSector: 40n }),
    'at byte 20480',
  ],
  ['vmdk', 'no descriptor', vmdk({ descriptorSector: 0n }), 'its descriptor is at byte 0'],
  ['vmdk', 'a far descriptor', vmdk({ descriptorSector: 4096n }), 'at byte 2097152'],
  [
    'vmdk',
    'a flat extent',
    vmdk({ descriptor: DESCRIPTOR.replace('SPARSE "disk.vmdk"', 'FLAT "/etc/shadow" 0') }),
    '/etc/shadow',
  ],
  [
    'vmdk',
    'an extent with a path',
    vmdk({ descriptor: DESCRIPTOR.replace('"disk', '"../disk') }),
    'without a path',
  ],
  ['vmdk', 'two extents', vmdk({ descriptor: `${DESCRIPTOR}RW 1 SPARSE "b.vmdk"\n` }), '2 extents'],
  ['vmdk', 'no extent', vmdk({ descriptor: DESCRIPTOR.replace(/^RW.*$/m, '') }), '0 extents'],
  [
    'vmdk',
    'a parent',
    vmdk({ descriptor: DESCRIPTOR.replace('ffffffff', '01020304') }),
    'parent image',
  ],
  [
    'vmdk',
    'a parent’s name',
    vmdk({ descriptor: `${DESCRIPTOR}parentFileNameHint="/dev/sda"\n` }),
    'parent image',
  ],
  [
    'vmdk',
    'a split image',
    vmdk({ descriptor: DESCRIPTOR.replace('monolithicSparse', 'twoGbMaxExtentSparse') }),
    'twogbmaxextentsparse',
  ],
  ['vmdk', 'a line nobody knows', vmdk({ descriptor: `${DESCRIPTOR}CHANGE NOTHING\n` }), 'CHANGE'],
  ['vhd', 'a differencing disk', vhd(4), 'differencing'],
  ['vhd', 'a fixed disk', vhd(2), 'fixed'],
  ['vhd', 'nothing in it', vhd(3, 0n), '0 bytes'],
  ['vhd', 'a size of 2^63', vhd(3, 1n << 63n), 'its size is'],
  ['vdi', 'an undo image', vdi(3), 'of type 3'],
  ['vdi', 'a size of 2^60', vdi(1, 1n << 60n), 'its size is'],
  ['vdi', 'a header cut short', Buffer.from(vdi(1).subarray(0, 128)), 'only 128 bytes'],
] as const)('a %s with %s is refused', ([format, , bytes, words]) => {
  expect(() => judgeQemuHeader(format, bytes)).toThrow(words)
})

test('whatever the bytes, a header is taken or refused by name', () => {
  const formats = Object.keys(QEMU_DRIVERS) as QemuFormat[]
  const property = fc.property(
    fc.constantFrom(...formats),
    fc.uint8Array({ maxLength: 1024 }),
    fc.constantFrom(vmdk({}), vhd(3), vdi(1)),
    fc.nat(1500),
    (format, noise, base, at) => {
      const bytes = Buffer.from(base)
      bytes.set(noise, at)
      try {
        const { virtualBytes } = judgeQemuHeader(format, bytes)
        expect(virtualBytes === null || virtualBytes > 0).toBe(true)
      } catch (error) {
        expect(isAgentError(error, 'InvalidImage')).toBe(true)
      }
    },
  )
  fc.assert(property, { numRuns: 3000 })
})
