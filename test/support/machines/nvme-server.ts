// SPDX-License-Identifier: Apache-2.0
// Owns a recorded machine: a server with NVMe drives and a SATA disk, UEFI, NICs of 1 and 25 Gbit/s, a BMC with IPv4 and
// IPv6 that shows itself as USB devices too.

import { nodesOf, nvmeDisk, scsiDisk } from './disks.ts'
import { lan6Answers, lanAnswer } from './ipmi.ts'
import { interfaceOf, memory, pciDirectory, pciNic, processors, usbDevices } from './parts.ts'
import { firmwareFiles } from './smbios.ts'
import { type RecordedMachine, together } from './tree.ts'

const USB = { address: '0000:00:14.0', ids: '8086:a1af', class: '0c0330', driver: 'xhci_hcd' }
const GIGABIT = ['10baseT/Half', '10baseT/Full', '100baseT/Half', '100baseT/Full', '1000baseT/Full']

const FILES = together(
  processors({
    model: 'Intel(R) Xeon(R) Gold 6326 CPU @ 2.90GHz',
    nodes: 1,
    coresPerNode: 4,
    threadsPerCore: 2,
    frequency: 1100,
    highest: 3500,
    flags: 'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr aes avx512f vmx',
    memoryKiBPerNode: 263752436,
  }),
  memory(263752436, 2048, 127),
  firmwareFiles({
    bios: { vendor: 'Dell Inc.', version: '1.8.2', date: '09/14/2022' },
    system: {
      vendor: 'Dell Inc.',
      product: 'PowerEdge R650',
      serial: 'ABC1234',
      sku: 'SKU=0912;ModelName=PowerEdge R650',
    },
    processors: [{ socket: 'CPU1', version: 'Intel(R) Xeon(R) Gold 6326 CPU @ 2.90GHz', cores: 4 }],
    memory: [
      Array.from({ length: 32 }, (_, slot) => ({
        slot: `A${slot + 1}`,
        sizeMiB: slot % 2 === 0 ? 16384 : 0,
      })),
    ],
  }),
  { '/sys/firmware/efi/fw_platform_size': '64\n' },
  pciNic(
    {
      address: '0000:04:00.0',
      behind: 'pci0000:00/0000:00:1c.5',
      ids: '14e4:165f',
      driver: 'tg3',
      numaNode: 0,
    },
    { name: 'eno8303', address: 'b0:7b:25:00:00:01', carrier: 1, speed: 1000 },
  ),
  pciNic(
    {
      address: '0000:31:00.0',
      behind: 'pci0000:30/0000:30:02.0',
      ids: '8086:159b',
      driver: 'ice',
      revision: '02',
      numaNode: 0,
    },
    { name: 'ens1f0np0', address: 'b4:96:91:00:00:01', carrier: 1, speed: 10000 },
  ),
  pciNic(
    {
      address: '0000:31:00.1',
      behind: 'pci0000:30/0000:30:02.0',
      ids: '8086:159b',
      driver: 'ice',
      revision: '02',
      numaNode: 0,
    },
    { name: 'ens1f1np1', address: 'b4:96:91:00:00:02', carrier: 0 },
  ),
  nvmeDisk(
    { address: '0000:65:00.0', behind: 'pci0000:64/0000:64:02.0', ids: '144d:a824', numaNode: 0 },
    {
      name: 'nvme0n1',
      number: '259:0',
      sizeBytes: 1920383410176,
      controller: 'nvme0',
      model: 'Dell Ent NVMe P5500 RI U.2 1.92TB',
      serial: 'PHAC1234001D1P9SGN',
      wwid: 'eui.01000000000000005cd2e4a1b2c30050',
      physicalSector: 4096,
      udev: {
        ID_SERIAL: 'Dell_Ent_NVMe_P5500_RI_U.2_1.92TB_PHAC1234001D1P9SGN',
        ID_SERIAL_SHORT: 'PHAC1234001D1P9SGN',
        ID_WWN: 'eui.01000000000000005cd2e4a1b2c30050',
        ID_MODEL: 'Dell Ent NVMe P5500 RI U.2 1.92TB',
      },
      links: [
        'disk/by-id/nvme-eui.01000000000000005cd2e4a1b2c30050',
        'disk/by-path/pci-0000:65:00.0-nvme-1',
      ],
    },
  ),
  nvmeDisk(
    { address: '0000:66:00.0', behind: 'pci0000:64/0000:64:03.0', ids: '144d:a824', numaNode: 0 },
    {
      name: 'nvme1n1',
      number: '259:1',
      sizeBytes: 1920383410176,
      controller: 'nvme1',
      model: 'Dell Ent NVMe P5500 RI U.2 1.92TB',
      serial: 'PHAC1234002D1P9SGN',
      wwid: 'eui.01000000000000005cd2e4a1b2c30051',
      physicalSector: 4096,
      udev: {
        ID_SERIAL: 'Dell_Ent_NVMe_P5500_RI_U.2_1.92TB_PHAC1234002D1P9SGN',
        ID_SERIAL_SHORT: 'PHAC1234002D1P9SGN',
        ID_WWN: 'eui.01000000000000005cd2e4a1b2c30051',
        ID_MODEL: 'Dell Ent NVMe P5500 RI U.2 1.92TB',
      },
      links: ['disk/by-path/pci-0000:66:00.0-nvme-1'],
    },
  ),
  scsiDisk(
    { address: '0000:00:17.0', ids: '8086:a182', class: '010601', driver: 'ahci' },
    {
      name: 'sda',
      number: '8:0',
      sizeBytes: 4000787030016,
      rotational: true,
      physicalSector: 4096,
      hctl: '0:0:0:0',
      vendor: 'ATA',
      model: 'ST4000NM000A-2HZ',
      host: 'ahci',
      way: 'ata1',
      udev: {
        ID_ATA: '1',
        ID_BUS: 'ata',
        ID_MODEL: 'ST4000NM000A-2HZ100',
        ID_MODEL_ENC: 'ST4000NM000A-2HZ100\\x20\\x20',
        ID_SERIAL: 'ST4000NM000A-2HZ100_WJG00001',
        ID_SERIAL_SHORT: 'WJG00001',
        ID_WWN: '0x5000c500c0000001',
        ID_WWN_WITH_EXTENSION: '0x5000c500c0000001',
      },
      links: ['disk/by-id/ata-ST4000NM000A-2HZ100_WJG00001', 'disk/by-path/pci-0000:00:17.0-ata-1'],
    },
  ),
  usbDevices(USB, [
    {
      name: 'usb1',
      bus: 1,
      device: 1,
      parent: 0,
      ids: '1d6b:0002',
      class: '09',
      interfaceClass: '09',
      product: 'xHCI Host Controller',
      manufacturer: 'Linux 6.1.0 xhci-hcd',
      driver: 'hub',
    },
    {
      name: '1-2',
      bus: 1,
      device: 2,
      parent: 1,
      ids: '413c:a102',
      class: '00',
      interfaceClass: '02',
      product: 'iDRAC Virtual NIC USB Device',
      manufacturer: 'Dell(TM)',
      driver: 'cdc_ether',
    },
    {
      name: 'usb2',
      bus: 2,
      device: 1,
      parent: 0,
      ids: '1d6b:0003',
      class: '09',
      interfaceClass: '09',
      product: 'xHCI Host Controller',
      manufacturer: 'Linux 6.1.0 xhci-hcd',
      driver: 'hub',
    },
    {
      name: '2-1',
      bus: 2,
      device: 2,
      parent: 1,
      ids: '1604:10c0',
      class: '00',
      interfaceClass: 'ff',
      product: 'Security Token',
      manufacturer: 'Tascam',
      driver: '(none)',
    },
  ]),
  interfaceOf(`${pciDirectory(USB)}/usb1/1-2/1-2:1.0`, {
    name: 'idrac',
    address: 'fa:4b:7f:11:22:33',
    carrier: 1,
  }),
  // a modem, which has no address
  interfaceOf(`${pciDirectory(USB)}/usb1/1-4/1-4:1.0`, {
    name: 'wwan0',
    address: '00:00:00:00:00:00',
  }),
)

export const NVME_SERVER: RecordedMachine = {
  name: 'nvme-server',
  what: 'NVMe drives and a SATA disk, UEFI, NICs of 1 and 25 Gbit/s, a BMC with IPv4 and IPv6',
  files: FILES,
  nodes: { ...nodesOf(FILES), '/dev/ipmi0': 'c 240:0' },
  links: [
    {
      name: 'eno8303',
      address: 'b0:7b:25:00:00:01',
      ipv4: '192.0.2.11',
      ipv6: ['fe80::b27b:25ff:fe00:1'],
      modes: GIGABIT,
      speed: 1000,
    },
    {
      name: 'ens1f0np0',
      address: 'b4:96:91:00:00:01',
      ipv6: ['2001:db8::11', 'fe80::b696:91ff:fe00:1'],
      modes: ['1000baseX/Full', '10000baseSR/Full', '25000baseSR/Full'],
      speed: 10000,
    },
    {
      name: 'ens1f1np1',
      // changed by hand
      address: '02:00:00:00:00:02',
      permanentAddress: 'b4:96:91:00:00:02',
      modes: ['1000baseX/Full', '10000baseSR/Full', '25000baseSR/Full'],
    },
    { name: 'idrac', address: 'fa:4b:7f:11:22:33' },
    { name: 'wwan0', address: '00:00:00:00:00:00' },
  ],
  answers: {
    'ipmitool lan print 1': lanAnswer({ address: '192.0.2.201', mac: 'd0:8e:79:00:00:01' }),
    ...lan6Answers(1, { enables: 'both', statics: ['2001:db8::201'] }),
  },
  kernelCommandLine: 'BOOTIF=01-b0-7b-25-00-00-01',
  hostname: 'ramdisk',
}
