// SPDX-License-Identifier: Apache-2.0
// Owns why a key of this agent's inspection is not as ironic-python-agent's, and where that shows among the recorded machines.

export interface InventoryReason {
  /** `machine: member of the list`, each one where the two differ. */
  readonly places: readonly string[]
  readonly why: string
}

const MAPS = ['fibre-channel: /dev/dm-0', 'fibre-channel: /dev/dm-1']
const OF_A_PATH = 'the kernel tells of a map no more than its size; its first path tells the rest'
const ports = (...names: string[]) => names.map((name) => `infiniband: ${name}`)
const OF_A_PORT = 'its manager for these cards leaves the key out; the port has it all the same'

export const INVENTORY_REASONS: Readonly<Record<string, InventoryReason>> = {
  'configuration.managers[].version': {
    places: [
      'virtual-machine',
      'nvme-server',
      'fibre-channel',
      'infiniband',
      'bonded',
      'four-nodes',
    ].map((machine) => `${machine}: generic_hardware_manager`),
    why: 'steps of its own make it another version',
  },
  'inventory.bmc_mac': {
    places: ['fibre-channel'],
    why: 'channel 1 has no address: IPA takes an answer of lan6 that is empty for an IPv6 address',
  },
  'inventory.cpu.frequency': {
    places: ['virtual-machine'],
    why: 'the kernel of a virtual machine names no highest frequency; that of the moment is more than nothing',
  },
  'inventory.disks[]': {
    places: ['mmcblk0boot0', 'mtdblock0', 'pmem0'].map((name) => `virtual-machine: /dev/${name}`),
    why: 'no disk: where an eMMC boots its firmware from, the flash that holds the firmware, memory modules. Cleaning would erase them',
  },
  'inventory.disks[].by_path': { places: MAPS, why: OF_A_PATH },
  'inventory.disks[].hctl': { places: MAPS, why: OF_A_PATH },
  'inventory.disks[].model': { places: MAPS, why: OF_A_PATH },
  'inventory.disks[].serial': {
    places: MAPS,
    why: "the LUN's own, as where one path leads to it; IPA has kpartx's word, the WWN. Hints match either",
  },
  'inventory.disks[].tran': { places: MAPS, why: OF_A_PATH },
  'inventory.disks[].vendor': { places: MAPS, why: OF_A_PATH },
  'inventory.disks[].wwn_vendor_extension': { places: MAPS, why: OF_A_PATH },
  'inventory.disks[].wwn_with_extension': { places: MAPS, why: OF_A_PATH },
  'inventory.interfaces[]': {
    places: ['nvme-server: wwan0'],
    why: 'without an address; Ironic could do nothing with zeros',
  },
  'inventory.interfaces[].driver': { places: ports('ib0', 'ib1'), why: OF_A_PORT },
  'inventory.interfaces[].ipv6_address': { places: ports('ib0'), why: OF_A_PORT },
  'inventory.interfaces[].pci_address': {
    places: ['virtual-machine: ens2', ...ports('ib0', 'ib1')],
    why: `of virtio the device's name is no PCI address, its function has one; of InfiniBand: ${OF_A_PORT}`,
  },
  'inventory.interfaces[].speed_mbps': {
    places: [...ports('ib0'), 'bonded: bond0', 'bonded: bond0.100'],
    why: `where a driver names no modes, the speed of the link; of InfiniBand: ${OF_A_PORT}`,
  },
  'usb_devices[]': {
    places: ['virtual-machine: USB:1:2', 'nvme-server: USB:1:2'],
    why: 'IPA lists a device alone on its hub, of a class that lshw does not know; here all but hubs are',
  },
}
