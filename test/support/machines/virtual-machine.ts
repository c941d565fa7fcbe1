// SPDX-License-Identifier: Apache-2.0
// Owns a recorded machine: one of QEMU with virtio, BIOS and a USB tablet.
import { bareDisk, nodesOf, virtioDisk } from './disks.ts'
import { memory, processors, usbDevices, virtioNic } from './parts.ts'
import { firmwareFiles } from './smbios.ts'
import { type RecordedMachine, together } from './tree.ts'

/** What the kernel calls a disk and is none. */
const NO_DISKS = [
  ['fd0', '2:0'],
  ['mmcblk0boot0', '179:8'],
  ['mtdblock0', '31:0'],
  ['pmem0', '259:8'],
  ['ram0', '1:0'],
  ['zram0', '252:0'],
] as const

const FILES = together(
  processors({
    model: 'Intel Xeon Processor (Icelake)',
    nodes: 1,
    coresPerNode: 2,
    threadsPerCore: 1,
    frequency: 2394.374,
    flags: 'fpu vme de pse tsc msr pae mce cx8 apic sep hypervisor lahf_lm',
    memoryKiBPerNode: 65843524,
  }),
  // more than whoever records it has: lshw asks the kernel too, which is the recording machine's
  memory(65843524, 2048, 33),
  firmwareFiles({
    bios: { vendor: 'SeaBIOS', version: '1.16.2-debian-1.16.2-1', date: '04/01/2014' },
    system: { vendor: 'QEMU', product: 'Standard PC (Q35 + ICH9, 2009)', serial: '' },
    processors: [{ socket: 'CPU 0', version: 'pc-q35-7.2', cores: 2 }],
    memory: [[0, 1, 2, 3].map((slot) => ({ slot: `DIMM ${slot}`, sizeMiB: 16384 }))],
  }),
  virtioNic({ address: '0000:00:02.0' }, 0, {
    name: 'ens2',
    address: '52:54:00:12:34:56',
    carrier: 1,
  }),
  virtioNic({ address: '0000:00:03.0' }, 1, {
    name: 'ens3',
    address: 'fa:16:3e:12:34:57',
    carrier: 1,
  }),
  virtioDisk({ address: '0000:00:04.0' }, 2, {
    name: 'vda',
    number: '254:0',
    sizeBytes: 21474836480,
    rotational: true,
    udev: { ID_SERIAL: 'root-disk', ID_PATH: 'pci-0000:00:04.0' },
    links: ['disk/by-id/virtio-root-disk', 'disk/by-path/pci-0000:00:04.0'],
  }),
  ...NO_DISKS.map(([name, number]) => bareDisk({ name, number, sizeBytes: 8388608 })),
  usbDevices({ address: '0000:00:1d.0', ids: '8086:2934', class: '0c0300', driver: 'uhci_hcd' }, [
    {
      name: 'usb1',
      bus: 1,
      device: 1,
      parent: 0,
      ids: '1d6b:0001',
      class: '09',
      interfaceClass: '09',
      product: 'UHCI Host Controller',
      manufacturer: 'Linux 6.1.0 uhci_hcd',
      driver: 'hub',
    },
    {
      name: '1-1',
      bus: 1,
      device: 2,
      parent: 1,
      ids: '0627:0001',
      class: '00',
      interfaceClass: '03',
      product: 'QEMU USB Tablet',
      manufacturer: 'QEMU',
      driver: 'usbhid',
    },
  ]),
)

export const VIRTUAL_MACHINE: RecordedMachine = {
  name: 'virtual-machine',
  what: 'QEMU with virtio, BIOS, a port of OpenStack',
  files: FILES,
  nodes: nodesOf(FILES),
  links: [
    {
      name: 'ens2',
      address: '52:54:00:12:34:56',
      ipv4: '192.0.2.10',
      ipv6: ['2001:db8::10', 'fe80::5054:ff:fe12:3456'],
    },
    { name: 'ens3', address: 'fa:16:3e:12:34:57' },
  ],
  answers: {},
  kernelCommandLine: 'BOOT_IMAGE=deploy BOOTIF=01-52-54-00-12-34-56 nofb',
  hostname: 'localhost.localdomain',
}
