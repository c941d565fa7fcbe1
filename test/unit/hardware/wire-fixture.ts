// SPDX-License-Identifier: Apache-2.0
// Owns an inventory as it goes over the wire, for tests: each part tells nothing but what `facts` say.
import type {
  Inventory,
  WireCpu,
  WireDisk,
  WireInterface,
} from '../../../agent/hardware/inventory.ts'

/** /dev/sda of 1000 bytes. */
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

/** eno1 with a link. */
export function wireInterface(facts: Partial<WireInterface> = {}): WireInterface {
  return {
    name: 'eno1',
    mac_address: '52:54:00:aa:bb:01',
    ipv4_address: null,
    ipv6_address: null,
    has_carrier: true,
    lldp: null,
    vendor: null,
    product: null,
    client_id: null,
    biosdevname: null,
    speed_mbps: null,
    pci_address: null,
    driver: null,
    ...facts,
  }
}

/** One processor. */
export function wireCpu(facts: Partial<WireCpu> = {}): WireCpu {
  return {
    model_name: null,
    frequency: null,
    count: 1,
    architecture: null,
    flags: [],
    socket_count: null,
    ...facts,
  }
}

/** Of a BIOS machine with neither interface nor disk. */
export function wireInventory(facts: Partial<Inventory> = {}): Inventory {
  return {
    interfaces: [],
    cpu: wireCpu(),
    disks: [],
    memory: { total: null, physical_mb: null },
    bmc_address: null,
    bmc_v6address: null,
    system_vendor: {
      product_name: '',
      serial_number: '',
      manufacturer: '',
      firmware: { vendor: '', version: '', build_date: '' },
    },
    boot: { current_boot_mode: 'bios', pxe_interface: null },
    hostname: null,
    ...facts,
  }
}
