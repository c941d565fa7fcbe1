// SPDX-License-Identifier: Apache-2.0
// Owns small qcow2 files that are put together by hand, for what no program would make. Does not check them.

export const CLUSTER_BYTES = 65_536

/** Byte offsets of the fields (QEMU's docs/interop/qcow2.txt), and how many bits each has. */
export const FIELDS = {
  magic: [0, 32],
  version: [4, 32],
  backingFileOffset: [8, 64],
  backingFileSize: [16, 32],
  clusterBits: [20, 32],
  size: [24, 64],
  cryptMethod: [32, 32],
  l1Size: [36, 32],
  l1TableOffset: [40, 64],
  refcountTableOffset: [48, 64],
  refcountTableClusters: [56, 32],
  nbSnapshots: [60, 32],
  snapshotsOffset: [64, 64],
  incompatible: [72, 64],
  compatible: [80, 64],
  autoclear: [88, 64],
  refcountOrder: [96, 32],
  headerLength: [100, 32],
  compressionType: [104, 8],
} as const satisfies Record<string, readonly [number, 8 | 32 | 64]>

export type FieldName = keyof typeof FIELDS

/** Sets a field of a header in its place. */
export function setField(file: Uint8Array, name: FieldName, value: number | bigint): void {
  const [offset, bits] = FIELDS[name]
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  if (bits === 64) view.setBigUint64(offset, BigInt(value))
  else if (bits === 32) view.setUint32(offset, Number(value))
  else view.setUint8(offset, Number(value))
}

export interface SmallQcow2 {
  readonly fields?: Partial<Record<FieldName, number | bigint>>
  /** Entries of the L1 table, in the second cluster; by default one, to the L2 table in the third. */
  readonly l1?: readonly bigint[]
  /** Entries of the L2 table, in the third cluster. */
  readonly l2?: readonly bigint[]
  /** What lies in the fourth cluster and after it. */
  readonly data?: Uint8Array
  /** Bytes of the file; by default up to the end of `data`. */
  readonly fileBytes?: number
}

export const L1_AT = CLUSTER_BYTES
export const L2_AT = 2 * CLUSTER_BYTES
export const DATA_AT = 3 * CLUSTER_BYTES

/** A file of version 3 with clusters of 64 KiB and a disk of eight of them, unless the fields say otherwise. */
export function buildQcow2({ fields, l1, l2 = [], data, fileBytes }: SmallQcow2 = {}): Uint8Array {
  const file = new Uint8Array(DATA_AT + (data?.length ?? 0))
  const header: Partial<Record<FieldName, number | bigint>> = {
    magic: 0x514649fb,
    version: 3,
    clusterBits: 16,
    size: 8 * CLUSTER_BYTES,
    l1Size: 1,
    l1TableOffset: L1_AT,
    refcountOrder: 4,
    headerLength: 112,
    ...fields,
  }
  for (const [name, value] of Object.entries(header)) setField(file, name as FieldName, value)
  const view = new DataView(file.buffer)
  for (const [at, entry] of (l1 ?? [BigInt(L2_AT)]).entries())
    view.setBigUint64(L1_AT + 8 * at, entry)
  for (const [at, entry] of l2.entries()) view.setBigUint64(L2_AT + 8 * at, entry)
  if (data !== undefined) file.set(data, DATA_AT)
  if (fileBytes === undefined) return file
  const cut = new Uint8Array(fileBytes)
  cut.set(file.subarray(0, fileBytes))
  return cut
}

/** The L2 entry of a compressed cluster of 64 KiB. @param sectors those after the first one */
export function compressedEntry(offset: number, sectors: number): bigint {
  return (1n << 62n) | (BigInt(sectors) << 54n) | BigInt(offset)
}
