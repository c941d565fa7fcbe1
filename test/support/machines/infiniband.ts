// SPDX-License-Identifier: Apache-2.0
// Owns a recorded machine: two ports of InfiniBand and two of Ethernet, of one maker, and one of another.
import { nodesOf, scsiDisk } from './disks.ts'
import { memory, pciNic, processors } from './parts.ts'
import { firmwareFiles } from './smbios.ts'
import { type RecordedMachine, together } from './tree.ts'

const GUIDS = ['7c:fe:90:03:00:29:26:52', '7c:fe:90:03:00:29:26:53']
/** Flags and queue pair, prefix of the subnet, GUID of the port (RFC 4391). */
const [IB0, IB1] = GUIDS.map(
  (guid, index) => `00:00:10:8${index}:fe:80:00:00:00:00:00:00:${guid}`,
) as [string, string]
const CARD = {
  behind: 'pci0000:16/0000:16:02.0',
  ids: '15b3:101b',
  driver: 'mlx5_core',
  numaNode: 0,
}

const FILES = together(
  processors({
    model: 'AMD EPYC 7302P 16-Core Processor',
    nodes: 1,
    coresPerNode: 4,
    threadsPerCore: 1,
    frequency: 3000,
    highest: 3000,
    flags: 'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr aes avx2 svm',
    memoryKiBPerNode: 131893704,
  }),
  memory(131893704, 2048, 65),
  firmwareFiles({
    bios: { vendor: 'American Megatrends Inc.', version: '2.4', date: '12/24/2021' },
    system: {
      vendor: 'Supermicro',
      product: 'AS -1114S-WTRT',
      serial: 'A400000X0000001',
      sku: 'To be filled by O.E.M.',
    },
    memory: [Array.from({ length: 8 }, (_, slot) => ({ slot: `DIMM${slot}`, sizeMiB: 16384 }))],
  }),
  pciNic(
    { ...CARD, address: '0000:17:00.0', class: '020700' },
    { name: 'ib0', address: IB0, carrier: 1, speed: 100000 },
  ),
  pciNic(
    { ...CARD, address: '0000:17:00.1', class: '020700' },
    { name: 'ib1', address: IB1, carrier: 0 },
  ),
  pciNic(
    { ...CARD, address: '0000:65:00.0', behind: 'pci0000:64/0000:64:00.0', ids: '15b3:1015' },
    { name: 'enp101s0f0', address: '0c:42:a1:00:00:01', carrier: 1, speed: 25000 },
  ),
  pciNic(
    {
      address: '0000:01:00.0',
      behind: 'pci0000:00/0000:00:1c.0',
      ids: '8086:1521',
      driver: 'igb',
      revision: '01',
    },
    { name: 'eno1', address: '3c:ec:ef:00:00:01', carrier: 1, speed: 1000 },
  ),
  scsiDisk(
    {
      address: '0000:48:00.0',
      behind: 'pci0000:40/0000:40:08.3',
      ids: '1022:7901',
      class: '010601',
      driver: 'ahci',
    },
    {
      name: 'sda',
      number: '8:0',
      sizeBytes: 960197124096,
      hctl: '0:0:0:0',
      vendor: 'ATA',
      model: 'SAMSUNG MZ7LH960',
      host: 'ahci',
      way: 'ata1',
      udev: {
        ID_MODEL: 'SAMSUNG_MZ7LH960HAJR-00005',
        ID_SERIAL: 'SAMSUNG_MZ7LH960HAJR-00005_S45NNA0N000001',
        ID_SERIAL_SHORT: 'S45NNA0N000001',
        ID_WWN: '0x5002538e40000001',
        ID_WWN_WITH_EXTENSION: '0x5002538e40000001',
      },
      links: ['disk/by-path/pci-0000:48:00.0-ata-1'],
    },
  ),
)

export const INFINIBAND: RecordedMachine = {
  name: 'infiniband',
  what: 'two ports of InfiniBand, one of Ethernet on such a card, one of another maker',
  files: FILES,
  nodes: nodesOf(FILES),
  links: [
    {
      name: 'ib0',
      address: IB0,
      permanentAddress: IB0,
      ipv4: '192.0.2.40',
      ipv6: [`fe80::7efe:9003:29:2652`],
      speed: 100000,
    },
    { name: 'ib1', address: IB1, permanentAddress: IB1 },
    {
      name: 'enp101s0f0',
      address: '0c:42:a1:00:00:01',
      modes: ['1000baseKX/Full', '10000baseKR/Full', '25000baseCR/Full', '25000baseSR/Full'],
      speed: 25000,
    },
    {
      name: 'eno1',
      address: '3c:ec:ef:00:00:01',
      ipv4: '192.0.2.41',
      modes: ['10baseT/Half', '100baseT/Full', '1000baseT/Full'],
      speed: 1000,
    },
  ],
  answers: {},
  kernelCommandLine: 'BOOTIF=20-7c-fe-90-29-26-52',
  hostname: 'ramdisk',
}
