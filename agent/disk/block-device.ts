// SPDX-License-Identifier: Apache-2.0
// Owns the interface of an open disk. (Implementation to follow in this file.)

/** What the kernel says of a device; all in bytes. */
export interface DeviceGeometry {
  readonly path: string
  readonly sizeBytes: number
  readonly logicalSectorBytes: number
  readonly physicalSectorBytes: number
  /** False for a regular file that stands in for a disk. */
  readonly isBlockDevice: boolean
}

/** An open disk. Reads and writes transfer everything or throw BlockDeviceError / ImageWriteError. */
export interface BlockDevice extends AsyncDisposable {
  readonly geometry: DeviceGeometry
  /** For a reader in another thread; valid until disposal. */
  readonly fd: number
  /** Fills `target` from `offset` on. Any alignment; aligned pool buffers go straight to O_DIRECT. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** Writes all of `data` at `offset`. Any alignment; unaligned edges are read, merged and written. */
  write(offset: number, data: Uint8Array): Promise<void>
  /** fsync: everything written is on the medium. */
  sync(): Promise<void>
}
