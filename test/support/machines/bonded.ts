// SPDX-License-Identifier: Apache-2.0
// Owns a recorded machine: two NICs in a bond with a VLAN on it, a third outside, and two disks in a RAID array.
import { directoryOf, mirror, nodesOf, scsiDisk } from './disks.ts'
import { lan6Answers, lanAnswer } from './ipmi.ts'
import { memory, pciNic, processors, virtualInterface } from './parts.ts'
import { firmwareFiles } from './smbios.ts'
import { type RecordedMachine, together } from './tree.ts'

const FIRST = '24:6e:96:00:00:10'
const SECOND = '24:6e:96:00:00:11'
const CARD = { behind: 'pci0000:17/0000:17:00.0', ids: '8086:1572', driver: 'i40e', revision: '02' }
const AHCI = { address: '0000:00:11.5', ids: '8086:a1d2', class: '010601', driver: 'ahci' }

const sata = (name: string, number: string, port: number) =>
  scsiDisk(AHCI, {
    name,
    number,
    sizeBytes: 480103981056,
    hctl: `${port}:0:0:0`,
    vendor: 'ATA',
    model: 'MTFDDAK480TDS',
    host: 'ahci',
    way: `ata${port + 1}`,
    udev: {
      ID_MODEL: 'MTFDDAK480TDS',
      ID_SERIAL: `MTFDDAK480TDS_2020271A000${port}`,
      ID_SERIAL_SHORT: `2020271A000${port}`,
      ID_WWN: `0x500a075127000${port}01`,
      ID_WWN_WITH_EXTENSION: `0x500a075127000${port}01`,
    },
    links: [`disk/by-path/pci-0000:00:11.5-ata-${port + 1}`],
  })

const DISKS = together(sata('sda', '8:0', 0), sata('sdb', '8:16', 1))

const member = (own: string) => ({
  'bonding_slave/perm_hwaddr': `${own}\n`,
  'bonding_slave/state': 'active\n',
})

const FILES = together(
  processors({
    model: 'Intel(R) Xeon(R) Silver 4210R CPU @ 2.40GHz',
    nodes: 1,
    coresPerNode: 2,
    threadsPerCore: 2,
    frequency: 1000,
    highest: 3200,
    flags: 'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr aes avx512f vmx',
    memoryKiBPerNode: 98304000,
  }),
  memory(98304000, 2048, 49),
  firmwareFiles({
    bios: { vendor: 'Lenovo', version: '-[IVE166I-2.71]-', date: '03/12/2021' },
    system: { vendor: 'Lenovo', product: '-[7X02CTO1WW]-', serial: 'J100AAAA', sku: '7X02CTO1WW' },
    memory: [
      Array.from({ length: 6 }, (_, slot) => ({ slot: `DIMM ${slot + 1}`, sizeMiB: 16384 })),
    ],
  }),
  { '/sys/firmware/efi/fw_platform_size': '64\n' },
  pciNic(
    { ...CARD, address: '0000:18:00.0' },
    { name: 'ens1f0', address: FIRST, carrier: 1, speed: 10000, attributes: member(FIRST) },
  ),
  pciNic(
    { ...CARD, address: '0000:18:00.1' },
    { name: 'ens1f1', address: FIRST, carrier: 1, speed: 10000, attributes: member(SECOND) },
  ),
  pciNic(
    { address: '0000:00:1f.6', ids: '8086:15b7', driver: 'e1000e' },
    { name: 'eno1', address: '24:6e:96:00:00:20', carrier: 0 },
  ),
  virtualInterface({
    name: 'bond0',
    address: FIRST,
    carrier: 1,
    speed: 20000,
    attributes: { 'bonding/mode': '802.3ad 4\n', 'bonding/slaves': 'ens1f0 ens1f1\n' },
  }),
  virtualInterface({ name: 'bond0.100', address: FIRST, carrier: 1, speed: 20000 }),
  virtualInterface({ name: 'lo', address: '00:00:00:00:00:00', carrier: 1 }),
  virtualInterface({ name: 'br0', address: '02:00:00:00:00:aa', carrier: 1 }),
  DISKS,
  mirror(
    {
      name: 'md127',
      number: '9:127',
      sizeBytes: 479969869824,
      udev: { MD_NAME: 'host:root', MD_LEVEL: 'raid1' },
    },
    ['sda', 'sdb'].map((name) => ({ name, directory: directoryOf(DISKS, name) })),
  ),
)

export const BONDED: RecordedMachine = {
  name: 'bonded',
  what: 'two NICs in a bond with a VLAN, a RAID array, a BMC of which only IPv6 is in use',
  files: FILES,
  nodes: { ...nodesOf(FILES), '/dev/ipmi0': 'c 240:0' },
  links: [
    { name: 'ens1f0', address: FIRST, modes: ['10000baseSR/Full'], speed: 10000 },
    {
      name: 'ens1f1',
      address: FIRST,
      permanentAddress: SECOND,
      modes: ['10000baseSR/Full'],
      speed: 10000,
    },
    { name: 'eno1', address: '24:6e:96:00:00:20', modes: ['10baseT/Half', '1000baseT/Full'] },
    {
      name: 'bond0',
      address: FIRST,
      ipv4: '192.0.2.13',
      ipv6: ['fe80::266e:96ff:fe00:10'],
      speed: 20000,
    },
    { name: 'bond0.100', address: FIRST, ipv4: '198.51.100.13', speed: 20000 },
    { name: 'br0', address: '02:00:00:00:00:aa' },
  ],
  answers: {
    'ipmitool lan print 1': lanAnswer({ address: '0.0.0.0', mac: '0a:94:ef:00:00:01' }),
    ...lan6Answers(1, { enables: 'both', dynamics: ['2001:db8::203'] }),
  },
  kernelCommandLine: `BOOTIF=01-${FIRST.replaceAll(':', '-')}`,
  hostname: 'ramdisk',
}
