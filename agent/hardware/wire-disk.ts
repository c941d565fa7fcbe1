// SPDX-License-Identifier: Apache-2.0
// Owns a disk as it goes over the wire (contract 6.1), and what of a disk a hardware manager may put another way.
import type { Disk, WireDisk } from './inventory.ts'

/** As the inventory has it. */
export function toWireDisk(disk: Disk): WireDisk {
  return {
    name: disk.name,
    model: disk.model,
    size: disk.sizeBytes,
    rotational: disk.rotational,
    wwn: disk.wwn,
    serial: disk.serial,
    vendor: disk.vendor,
    wwn_with_extension: disk.wwnWithExtension,
    wwn_vendor_extension: disk.wwnVendorExtension,
    hctl: disk.hctl,
    by_path: disk.byPath,
    logical_sectors: disk.logicalSectorBytes,
    physical_sectors: disk.physicalSectorBytes,
    tran: disk.transport,
  }
}

/**
 * The disk as a manager describes it. What bytes are written by stays as the kernel says: path, sizes of the disk
 * and its sectors. Hints match the new serial number and WWN besides the old ones.
 */
export function describedAs(disk: Disk, wire: WireDisk): Disk {
  return {
    ...disk,
    model: wire.model,
    rotational: wire.rotational,
    wwn: wire.wwn,
    serial: wire.serial,
    vendor: wire.vendor,
    wwnWithExtension: wire.wwn_with_extension,
    wwnVendorExtension: wire.wwn_vendor_extension,
    hctl: wire.hctl,
    byPath: wire.by_path,
    transport: wire.tran,
    serials: withText(disk.serials, wire.serial),
    wwns: withText(disk.wwns, wire.wwn),
  }
}

function withText(known: readonly string[], text: string | null): readonly string[] {
  return text === null || known.includes(text) ? known : [text, ...known]
}
