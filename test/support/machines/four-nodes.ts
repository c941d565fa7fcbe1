// SPDX-License-Identifier: Apache-2.0
// Owns a recorded machine: four sockets, each a NUMA node with memory of its own, NICs on two of them that the firmware names,
// and a LUN of a RAID controller.
import { nodesOf, scsiDisk } from './disks.ts'
import { memory, pciNic, processors } from './parts.ts'
import { firmwareFiles } from './smbios.ts'
import { type RecordedMachine, together } from './tree.ts'

const GIGABIT = ['10baseT/Half', '100baseT/Full', '1000baseT/Full']
const MODEL = 'Intel(R) Xeon(R) Platinum 8380H CPU @ 2.90GHz'

const FILES = together(
  processors({
    model: MODEL,
    nodes: 4,
    coresPerNode: 4,
    threadsPerCore: 2,
    frequency: 2900,
    highest: 4300,
    flags: 'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr aes avx512f vmx',
    memoryKiBPerNode: 131956684,
  }),
  memory(527826736, 2048, 255),
  firmwareFiles({
    bios: { vendor: 'Dell Inc.', version: '2.14.1', date: '03/10/2022' },
    system: {
      vendor: 'Dell Inc.',
      product: 'PowerEdge R840',
      serial: 'XYZ1234',
      sku: 'SKU=08B9;ModelName=PowerEdge R840',
    },
    processors: ['CPU1', 'CPU2', 'CPU3', 'CPU4'].map((socket) => ({
      socket,
      version: MODEL,
      cores: 4,
    })),
    memory: [
      ['A', 'B', 'C', 'D'].flatMap((group) => [
        { slot: `${group}1`, sizeMiB: 65536 },
        { slot: `${group}2`, sizeMiB: 65536 },
        { slot: `${group}3`, sizeMiB: 0 },
      ]),
    ],
  }),
  { '/sys/firmware/efi/fw_platform_size': '64\n' },
  pciNic(
    {
      address: '0000:18:00.0',
      behind: 'pci0000:17/0000:17:00.0',
      ids: '14e4:165f',
      driver: 'tg3',
      numaNode: 0,
    },
    { name: 'eno1', address: 'e4:43:4b:00:00:01', carrier: 1, speed: 1000 },
  ),
  pciNic(
    {
      address: '0000:d8:00.0',
      behind: 'pci0000:d7/0000:d7:00.0',
      ids: '15b3:1017',
      driver: 'mlx5_core',
      numaNode: 3,
    },
    { name: 'ens7', address: 'e4:43:4b:00:00:02', carrier: 1, speed: 100000 },
  ),
  scsiDisk(
    {
      address: '0000:3b:00.0',
      behind: 'pci0000:3a/0000:3a:00.0',
      ids: '1000:0016',
      class: '010400',
      driver: 'megaraid_sas',
      numaNode: 1,
    },
    {
      name: 'sda',
      number: '8:0',
      sizeBytes: 1199638052864,
      rotational: true,
      hctl: '0:2:0:0',
      vendor: 'DELL',
      model: 'PERC H740P Adp',
      host: 'megaraid_sas',
      udev: {
        ID_BUS: 'scsi',
        ID_MODEL: 'PERC_H740P_Adp',
        ID_SERIAL: '36d0946606b0d1b0025b4a9d80b6f4e2a',
        ID_SERIAL_SHORT: '6d0946606b0d1b0025b4a9d80b6f4e2a',
        ID_SCSI_SERIAL: '002a4e6f0bd8a9b425001b0d6b604609',
        ID_WWN: '0x6d0946606b0d1b00',
        ID_WWN_VENDOR_EXTENSION: '0x25b4a9d80b6f4e2a',
        ID_WWN_WITH_EXTENSION: '0x6d0946606b0d1b0025b4a9d80b6f4e2a',
      },
      links: ['disk/by-path/pci-0000:3b:00.0-scsi-0:2:0:0'],
    },
  ),
)

export const FOUR_NODES: RecordedMachine = {
  name: 'four-nodes',
  what: 'four NUMA nodes, NICs on two of them with names of the firmware, a LUN of a RAID controller',
  files: FILES,
  nodes: nodesOf(FILES),
  links: [
    { name: 'eno1', address: 'e4:43:4b:00:00:01', ipv4: '192.0.2.14', modes: GIGABIT, speed: 1000 },
    {
      name: 'ens7',
      address: 'e4:43:4b:00:00:02',
      modes: ['1000baseKX/Full', '100000baseKR4/Full', '100000baseSR4/Full'],
      speed: 100000,
    },
  ],
  answers: { 'biosdevname -i eno1': 'em1\n', 'biosdevname -i ens7': 'p7p1\n' },
  kernelCommandLine: 'nofb',
  hostname: 'ramdisk',
}
