// SPDX-License-Identifier: Apache-2.0
// Owns the `system_vendor` of the inventory (contract 6.1), as the kernel's DMI directory tells it.
import type { Root } from '../../system/root.ts'
import type { WireSystemVendor } from '../inventory.ts'

/** Vendor, product, serial number and firmware; '' where the machine has no SMBIOS. */
export async function readSystemVendor(root: Root): Promise<WireSystemVendor> {
  const read = async (name: string) =>
    (await root.readText(`/sys/class/dmi/id/${name}`))?.trim() ?? ''
  const [product, serial, vendor, firmwareVendor, version, date] = await Promise.all([
    read('product_name'),
    read('product_serial'),
    read('sys_vendor'),
    read('bios_vendor'),
    read('bios_version'),
    read('bios_date'),
  ])
  return {
    product_name: product,
    serial_number: serial,
    manufacturer: vendor,
    firmware: { vendor: firmwareVendor, version, build_date: date },
  }
}
