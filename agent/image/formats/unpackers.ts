// SPDX-License-Identifier: Apache-2.0
// Owns the table of formats that are unpacked: one row each. Does not recognise them (image-format.ts).
import { unpackGzip } from './compressed/gzip.ts'
import { unpackBzip2, unpackXz } from './compressed/program.ts'
import { unpackZstd } from './compressed/zstd.ts'
import { unpackQcow2 } from './qcow2/unpack.ts'
import { unpackByQemu } from './qemu/unpack-qemu.ts'
import type { Unpack } from './unpacker.ts'

/** What lies on the disk is what the file holds, in each of these: the file is kept until it is unpacked. */
export const UNPACKERS = {
  qcow2: unpackQcow2,
  vmdk: unpackByQemu('vmdk'),
  vhd: unpackByQemu('vhd'),
  vhdx: unpackByQemu('vhdx'),
  vdi: unpackByQemu('vdi'),
  zstd: unpackZstd,
  gzip: unpackGzip,
  xz: unpackXz,
  bzip2: unpackBzip2,
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
