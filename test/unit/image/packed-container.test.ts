import { expect, test } from 'vitest'
import { requirePlannedContainer } from '../../../agent/image/unpack-container.ts'

const PLANNED = {
  format: 'qcow2',
  virtualBytes: 1_048_576,
  window: { offset: 0, length: 1 },
} as const
const PLAN = { namedFormat: { disk: null, packing: null }, content: 'whole disk' } as const
const PERMITTED = ['raw', 'qcow2', 'vdi']

/** Version 2, clusters of 64 KiB. */
function qcow2(virtualBytes: number): Buffer {
  const bytes = Buffer.alloc(65_536)
  bytes.write('QFI\xfb', 'latin1')
  bytes.writeUInt32BE(2, 4)
  bytes.writeUInt32BE(16, 20)
  bytes.writeBigUInt64BE(BigInt(virtualBytes), 24)
  bytes.writeUInt32BE(1, 36)
  bytes.writeBigUInt64BE(196_608n, 40)
  bytes.writeBigUInt64BE(65_536n, 48)
  bytes.writeUInt32BE(1, 56)
  return bytes
}

test('what comes out of a packed file must be what its server showed before', () => {
  const require = (bytes: Uint8Array) =>
    requirePlannedContainer(bytes, 'gzip', PLANNED, PLAN, PERMITTED)
  expect(() => require(qcow2(1_048_576))).not.toThrow()
  expect(() => require(qcow2(2_097_152))).toThrow(
    /in the gzip file is a qcow2 of a disk of 2097152 bytes, .* showed a qcow2 of 1048576/,
  )
  const raw = Buffer.alloc(65_536)
  raw.set([0x55, 0xaa], 510)
  expect(() => require(raw)).toThrow(/in the gzip file is a raw disk, .* it serves two files/)
})
