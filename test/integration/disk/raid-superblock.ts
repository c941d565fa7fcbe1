// SPDX-License-Identifier: Apache-2.0
// Owns the superblock of a Linux software RAID member, for kernels without md: mdadm makes none there.
import { randomBytes } from 'node:crypto'

const SECTOR_BYTES = 512
const MAX_DEVICES = 128

/** Where and what mdadm writes for `--metadata=<version>` (struct mdp_superblock_1 of the kernel). */
export function raidSuperblock(
  version: '1.0' | '1.1' | '1.2',
  sizeBytes: number,
): { offset: number; bytes: Buffer } {
  const sectors = sizeBytes / SECTOR_BYTES
  const sector = { '1.0': Math.floor((sectors - 16) / 8) * 8, '1.1': 0, '1.2': 8 }[version]
  const bytes = Buffer.alloc(256 + 2 * MAX_DEVICES)
  bytes.writeUInt32LE(0xa92b4efc, 0)
  bytes.writeUInt32LE(1, 4)
  randomBytes(16).copy(bytes, 16)
  bytes.write('host:root', 32)
  bytes.writeUInt32LE(1, 72)
  bytes.writeBigUInt64LE(BigInt(sectors - 2048), 80)
  bytes.writeUInt32LE(2, 92)
  bytes.writeBigUInt64LE(version === '1.0' ? 0n : 2048n, 128)
  bytes.writeBigUInt64LE(BigInt(sectors - 2048), 136)
  bytes.writeBigUInt64LE(BigInt(sector), 144)
  randomBytes(16).copy(bytes, 168)
  bytes.writeUInt32LE(MAX_DEVICES, 220)
  bytes.writeUInt32LE(checksum(bytes), 216)
  return { offset: sector * SECTOR_BYTES, bytes }
}

/** Sum of its 32-bit words, the carry added in (calc_sb_1_csum). */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 4) sum += bytes.readUInt32LE(at)
  return ((sum % 2 ** 32) + Math.floor(sum / 2 ** 32)) % 2 ** 32
}
