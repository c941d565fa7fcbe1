import { expect, test } from 'vitest'
import { requirePlannedContainer } from '../../../agent/image/unpack-container.ts'
import { buildQcow2 } from '../../support/formats/qcow2-builder.ts'

const PLANNED = {
  format: 'qcow2',
  virtualBytes: 1_048_576,
  window: { offset: 0, length: 1 },
} as const
const PLAN = { namedFormat: { disk: null, packing: null }, content: 'whole disk' } as const
const PERMITTED = ['raw', 'qcow2', 'vdi']

/** Its header, and an L1 table for that disk. */
function qcow2(virtualBytes: number): Uint8Array {
  const l1Size = Math.ceil(virtualBytes / (512 * 1_048_576))
  return buildQcow2({ fields: { size: virtualBytes, l1Size } }).subarray(0, 65_536)
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
