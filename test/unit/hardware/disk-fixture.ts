// SPDX-License-Identifier: Apache-2.0
// Owns the disks of hardware tests: one with every attribute, changed where a test looks.
import { GiB } from '../../../agent/core/units.ts'
import type { Disk } from '../../../agent/hardware/inventory.ts'

/** A SATA SSD of 100 GiB that udev knows well. */
export function diskWith(changes: Partial<Disk> = {}): Disk {
  return {
    name: '/dev/sda',
    model: 'SAMSUNG MZ7KM480',
    sizeBytes: 100 * GiB,
    rotational: false,
    wwn: '0x5002538c40a1b2c3',
    wwnWithExtension: '0x5002538c40a1b2c3aa55',
    wwnVendorExtension: '0xaa55',
    serial: 'S2NKNX0H123456',
    vendor: 'ATA',
    hctl: '0:0:0:0',
    byPath: '/dev/disk/by-path/pci-0000:00:17.0-ata-1',
    logicalSectorBytes: 512,
    physicalSectorBytes: 4096,
    transport: 'sata',
    serials: ['S2NKNX0H123456', 'SAMSUNG_MZ7KM480_S2NKNX0H123456'],
    wwns: ['0x5002538c40a1b2c3'],
    links: ['/dev/disk/by-path/pci-0000:00:17.0-ata-1'],
    partitions: [],
    raidVolumes: [],
    liesOn: [],
    isReadOnly: false,
    leftAlone: null,
    isListed: false,
    ...changes,
  }
}
