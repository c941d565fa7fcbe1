// SPDX-License-Identifier: Apache-2.0
// Owns the machine as a list of [class, element, key, value], the form and the names of python-hardware. What
// its programs alone know is left out: SMART, sensors, RAID controllers, benchmarks (docs/inspection.md).
import { redactText } from '../../core/redact.ts'
import type { Root } from '../../system/root.ts'
import type { Inventory, WireCpu, WireDisk, WireInterface } from '../inventory.ts'

export type ExtraItem = readonly [
  kind: string,
  element: string,
  key: string,
  value: string | number,
]

type Facts = Readonly<Record<string, string | number | null | undefined>>

/** What is unknown or empty is left out. */
export async function describeMachine(inventory: Inventory, root: Root): Promise<ExtraItem[]> {
  const { cpu, disks, interfaces, memory, system_vendor: vendor } = inventory
  const cmdline = await root.readText('/proc/cmdline')
  return [
    ...items('disk', 'logical', { count: `${disks.length}` }),
    ...disks.flatMap((disk) => items('disk', nameOf(disk), factsOfDisk(disk))),
    ...items('system', 'product', {
      serial: vendor.serial_number,
      name: vendor.product_name,
      vendor: vendor.manufacturer,
    }),
    ...items('firmware', 'bios', {
      version: vendor.firmware.version,
      date: vendor.firmware.build_date,
      vendor: vendor.firmware.vendor,
    }),
    ...items('memory', 'total', { size: bytesOf(memory) }),
    ...interfaces.flatMap((nic) => items('network', nic.name, factsOfInterface(nic))),
    ...items('cpu', 'physical', { number: cpu.socket_count }),
    ...Array.from({ length: cpu.socket_count ?? 0 }, (_, i) =>
      items('cpu', `physical_${i}`, factsOfCpu(cpu)),
    ).flat(),
    ...items('cpu', 'logical', { number: cpu.count }),
    ...items('system', 'kernel', {
      version: await root.readText('/proc/sys/kernel/osrelease'),
      arch: cpu.architecture,
      cmdline: cmdline === undefined ? undefined : redactText(cmdline),
    }),
  ]
}

function items(kind: string, element: string, facts: Facts): ExtraItem[] {
  return Object.entries(facts).flatMap(([key, value]) =>
    value === null || value === undefined || value === ''
      ? []
      : [[kind, element, key, value] as const],
  )
}

function nameOf(disk: WireDisk): string {
  return disk.name.replace(/^\/dev\//, '')
}

function factsOfCpu(cpu: WireCpu): Facts {
  return {
    product: cpu.model_name,
    architecture: cpu.architecture,
    flags: cpu.flags.join(' '),
    max_Mhz: Number(cpu.frequency) || null,
  }
}

/** Sizes in GB of 10^9 bytes, whole ones, as text. */
function factsOfDisk(disk: WireDisk): Facts {
  return {
    size: `${Math.floor(disk.size / 1e9)}`,
    vendor: disk.vendor,
    model: disk.model,
    physical_block_size: disk.physical_sectors === null ? null : `${disk.physical_sectors}`,
    rotational: disk.rotational ? '1' : '0',
    'wwn-id': disk.wwn === null ? null : `wwn-${disk.wwn}`,
  }
}

/** `size` is a speed in bits per second, as lshw has it. */
function factsOfInterface(nic: WireInterface): Facts {
  return {
    businfo: nic.pci_address === null ? null : `pci@${nic.pci_address}`,
    size: nic.speed_mbps === null ? null : `${nic.speed_mbps * 1_000_000}`,
    ipv4: nic.ipv4_address,
    link: nic.has_carrier ? 'yes' : 'no',
    driver: nic.driver,
    serial: nic.mac_address,
  }
}

function bytesOf({ total, physical_mb }: Inventory['memory']): string | undefined {
  if (physical_mb !== null) return `${physical_mb * 1024 * 1024}`
  return total === null ? undefined : `${total}`
}
