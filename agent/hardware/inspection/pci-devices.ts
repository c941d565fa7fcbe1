// SPDX-License-Identifier: Apache-2.0
// Owns the collector `pci-devices`: what sysfs says of each PCI function (contract 6.2), for Ironic's hooks
// `pci-devices` and `accelerators`.
import type { JsonObject } from '../../core/json.ts'
import type { CollectorCall } from './collector.ts'

const DEVICES = '/sys/bus/pci/devices'
/** Of one machine; the largest known have some hundreds. */
const MAX_DEVICES = 4096

/** A machine without any is no failure. One after the other: hundreds at once would want more files than a process may open. */
export async function collectPciDevices({ root, log }: CollectorCall): Promise<JsonObject> {
  const names = await root.list(DEVICES)
  if (names.length === 0) log.warn('inspection: no PCI devices')
  const devices = []
  for (const bus of names.slice(0, MAX_DEVICES)) {
    const read = async (attribute: string) => root.readText(`${DEVICES}/${bus}/${attribute}`)
    const vendor_id = hexOf(await read('vendor'))
    const product_id = hexOf(await read('device'))
    const deviceClass = hexOf(await read('class'))
    if (vendor_id === null || product_id === null || deviceClass === null) {
      log.warn({ bus }, 'inspection: a PCI device without vendor, device or class')
      continue
    }
    devices.push({
      vendor_id,
      product_id,
      class: deviceClass,
      revision: hexOf(await read('revision')),
      bus,
      numa_node_id: (await read('numa_node'))?.trim() ?? null,
    })
  }
  return { pci_devices: devices }
}

/** `8086` of `0x8086`. */
function hexOf(text: string | undefined): string | null {
  return /^0x([0-9a-f]+)$/i.exec(text?.trim() ?? '')?.[1] ?? null
}
