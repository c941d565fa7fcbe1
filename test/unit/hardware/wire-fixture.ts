// SPDX-License-Identifier: Apache-2.0
// Owns a disk as it goes over the wire, for tests.
import type { WireDisk } from '../../../agent/hardware/inventory.ts'

/** /dev/sda of 1000 bytes that tells nothing, but for what `facts` say. */
export function wireDisk(facts: Partial<WireDisk> = {}): WireDisk {
  return {
    name: '/dev/sda',
    model: null,
    size: 1000,
    rotational: false,
    wwn: null,
    serial: null,
    vendor: null,
    wwn_with_extension: null,
    wwn_vendor_extension: null,
    hctl: null,
    by_path: null,
    logical_sectors: 512,
    physical_sectors: 512,
    tran: null,
    ...facts,
  }
}
