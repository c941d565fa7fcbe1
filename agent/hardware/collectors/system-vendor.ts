// SPDX-License-Identifier: Apache-2.0
// Owns the `system_vendor` of the inventory (contract 6.1), as the kernel's DMI directory tells it.
import type { Root } from '../../system/root.ts'
import type { WireSystemVendor } from '../inventory.ts'

/**
 * Vendor, product, serial number and firmware; '' where the machine has no SMBIOS. The product has its SKU number behind it in
 * parentheses, as lshw writes it: rules of operators compare with that.
 */
export async function readSystemVendor(root: Root): Promise<WireSystemVendor> {
  const read = async (name: string) =>
    (await root.readText(`/sys/class/dmi/id/${name}`))?.trim() ?? ''
  const [product, sku, serial, vendor, firmwareVendor, version, date] = await Promise.all([
    read('product_name'),
    read('product_sku'),
    read('product_serial'),
    read('sys_vendor'),
    read('bios_vendor'),
    read('bios_version'),
    read('bios_date'),
  ])
  return {
    product_name: sku === '' ? product : `${product} (${sku})`,
    serial_number: serial,
    manufacturer: vendor,
    firmware: { vendor: firmwareVendor, version, build_date: date },
  }
}
