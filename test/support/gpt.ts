// SPDX-License-Identifier: Apache-2.0
// Owns reading the primary GPT out of the first bytes of an image, as the partitioner reads it of a disk.
import {
  entriesRange,
  type Gpt,
  parseGptEntries,
  parseGptHeader,
} from '../../agent/disk/partition-table/gpt.ts'

/**
 * @param head LBA 0 up to the end of the entries
 * Throws BlockDeviceError if the table is not there or broken.
 */
export function parseGpt(head: Uint8Array, sectorBytes: number): Gpt {
  const header = parseGptHeader(head.subarray(sectorBytes, 2 * sectorBytes), 1)
  const { offset, length } = entriesRange(header, sectorBytes)
  return parseGptEntries(header, head.subarray(offset, offset + length), sectorBytes)
}
