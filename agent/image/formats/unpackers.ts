// SPDX-License-Identifier: Apache-2.0
// Owns the table of formats that are unpacked: one row each. Does not recognise them (image-format.ts).
import { unpackKept } from './compressed/file-chunks.ts'
import { unpackGzip } from './compressed/gzip.ts'
import { unpackBzip2, unpackXz } from './compressed/program.ts'
import { unpackZstd } from './compressed/zstd.ts'
import { unpackQcow2 } from './qcow2/unpack.ts'
import { unpackByQemu } from './qemu/unpack-qemu.ts'
import type { Unpack, UnpackInOrder } from './unpacker.ts'

/** What needs nothing but the bytes in their order: it is unpacked while it comes in where nobody has to be served from it. */
export const IN_ORDER = {
  zstd: unpackZstd,
  gzip: unpackGzip,
  xz: unpackXz,
  bzip2: unpackBzip2,
} as const satisfies Record<string, UnpackInOrder>
export type InOrderFormat = keyof typeof IN_ORDER

/** What lies on the disk is what the file holds, in each of these: the file is kept until it is unpacked. */
export const UNPACKERS = {
  qcow2: unpackQcow2,
  vmdk: unpackByQemu('vmdk'),
  vhd: unpackByQemu('vhd'),
  vhdx: unpackByQemu('vhdx'),
  vdi: unpackByQemu('vdi'),
  zstd: unpackKept(unpackZstd),
  gzip: unpackKept(unpackGzip),
  xz: unpackKept(unpackXz),
  bzip2: unpackKept(unpackBzip2),
} as const satisfies Record<string, Unpack>

/** A format that is unpacked. */
export type UnpackedFormat = keyof typeof UNPACKERS

/** Those that are disks of their own, with a header: disk_format names them, and they need permission (contract 5.3.6). */
export const CONTAINERS = ['qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi'] as const
export type Container = (typeof CONTAINERS)[number]

/** True for the names of such disks. */
export function isContainer(format: string): format is Container {
  return (CONTAINERS as readonly string[]).includes(format)
}

/** True for the names of formats that are unpacked. */
export function isUnpacked(format: string): format is UnpackedFormat {
  return Object.hasOwn(UNPACKERS, format)
}

/** True for the names of formats that are unpacked in the order of the file. */
export function isInOrder(format: string): format is InOrderFormat {
  return Object.hasOwn(IN_ORDER, format)
}
