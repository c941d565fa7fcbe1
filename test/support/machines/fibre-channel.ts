// SPDX-License-Identifier: Apache-2.0
// Owns a recorded machine: LUNs over Fibre Channel and iSCSI, each by two paths that a multipath map joins, and a local disk.
import { directoryOf, multipathMap, nodesOf, scsiDisk } from './disks.ts'
import { lanAnswer } from './ipmi.ts'
import { memory, type PciFunction, pciNic, processors } from './parts.ts'
import { firmwareFiles } from './smbios.ts'
import { type Answers, type Files, type RecordedMachine, together } from './tree.ts'

const HBA = {
  address: '0000:05:00.0',
  behind: 'pci0000:00/0000:00:03.0',
  ids: '1077:2261',
  class: '0c0400',
  driver: 'qla2xxx',
}
const ISCSI: PciFunction = {
  address: '0000:00:1f.6',
  ids: '8086:15b7',
  class: '020000',
  driver: 'e1000e',
}

interface Lun {
  readonly fabric: 'fc_host' | 'iscsi_host'
  readonly controller: PciFunction
  readonly wwid: string
  readonly serial: string
  readonly vendor: string
  readonly model: string
  readonly map: string
  readonly mapNumber: string
  readonly paths: readonly { name: string; number: string; hctl: string; byPath: string }[]
}

const LUNS: readonly Lun[] = [
  {
    fabric: 'fc_host',
    controller: HBA,
    wwid: '3600508b4000f314a0000400001600000',
    serial: 'SGN3041TXN',
    vendor: 'HP',
    model: 'HSV360',
    map: 'mpatha',
    mapNumber: '253:0',
    paths: [
      {
        name: 'sda',
        number: '8:0',
        hctl: '3:0:0:1',
        byPath: 'pci-0000:05:00.0-fc-0x50001fe150030ad8-lun-1',
      },
      {
        name: 'sdb',
        number: '8:16',
        hctl: '3:0:1:1',
        byPath: 'pci-0000:05:00.0-fc-0x50001fe150030adc-lun-1',
      },
    ],
  },
  {
    fabric: 'iscsi_host',
    controller: ISCSI,
    wwid: '360014052c9bb1a0b7a34d0e8c3b3a111',
    serial: '2c9bb1a0-b7a3-4d0e-8c3b-3a1110000000',
    vendor: 'LIO-ORG',
    model: 'lun0',
    map: 'mpathb',
    mapNumber: '253:1',
    paths: [
      {
        name: 'sdc',
        number: '8:32',
        hctl: '6:0:0:0',
        byPath: 'ip-192.0.2.20:3260-iscsi-iqn.2004-04.org:a-lun-0',
      },
      {
        name: 'sdd',
        number: '8:48',
        hctl: '7:0:0:0',
        byPath: 'ip-192.0.2.21:3260-iscsi-iqn.2004-04.org:a-lun-0',
      },
    ],
  },
]

const LOCAL = scsiDisk(
  { address: '0000:00:17.0', ids: '8086:a182', class: '010601', driver: 'ahci' },
  {
    name: 'sde',
    number: '8:64',
    sizeBytes: 240057409536,
    hctl: '0:0:0:0',
    vendor: 'ATA',
    model: 'INTEL SSDSC2KB24',
    host: 'ahci',
    way: 'ata1',
    udev: {
      ID_MODEL: 'INTEL_SSDSC2KB240G8',
      ID_SERIAL: 'INTEL_SSDSC2KB240G8_PHYF000000',
      ID_SERIAL_SHORT: 'PHYF000000',
      ID_WWN: '0x55cd2e4150000001',
      ID_WWN_WITH_EXTENSION: '0x55cd2e4150000001',
    },
    links: ['disk/by-path/pci-0000:00:17.0-ata-1'],
  },
)

const FILES = together(
  processors({
    model: 'Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz',
    nodes: 1,
    coresPerNode: 2,
    threadsPerCore: 2,
    frequency: 1200,
    highest: 3300,
    flags: 'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr aes avx vmx',
    memoryKiBPerNode: 65843524,
  }),
  memory(65843524, 2048, 33),
  firmwareFiles({
    bios: { vendor: 'HP', version: 'I36', date: '10/25/2017' },
    system: {
      vendor: 'HP',
      product: 'ProLiant BL460c Gen9',
      serial: 'CZ30000001',
      sku: '727021-B21',
    },
    memory: [
      [
        { slot: 'PROC 1 DIMM 1', sizeMiB: 32768 },
        { slot: 'PROC 1 DIMM 2', sizeMiB: 32768 },
      ],
    ],
  }),
  { '/sys/firmware/efi/fw_platform_size': '64\n' },
  pciNic({ ...ISCSI }, { name: 'eno1', address: '9c:b6:54:00:00:01', carrier: 1, speed: 1000 }),
  LOCAL,
  ...LUNS.map(lunFiles),
)

function lunFiles(lun: Lun): Files {
  const { wwid, serial } = lun
  const paths = together(
    ...lun.paths.map((path) =>
      scsiDisk(lun.controller, {
        ...path,
        sizeBytes: 107374182400,
        rotational: true,
        vendor: lun.vendor,
        model: lun.model,
        host: lun.fabric === 'fc_host' ? 'qla2xxx' : 'iscsi_tcp',
        fabric: lun.fabric,
        udev: {
          ID_BUS: 'scsi',
          ID_MODEL: lun.model,
          ID_SERIAL: wwid,
          ID_SERIAL_SHORT: wwid.slice(1),
          ID_SCSI_SERIAL: serial,
          ID_WWN: `0x${wwid.slice(1, 17)}`,
          ID_WWN_VENDOR_EXTENSION: `0x${wwid.slice(17)}`,
          ID_WWN_WITH_EXTENSION: `0x${wwid.slice(1)}`,
          DM_MULTIPATH_DEVICE_PATH: '1',
        },
        links: [`disk/by-path/${path.byPath}`],
      }),
    ),
  )
  const map = multipathMap(
    {
      name: lun.map === 'mpatha' ? 'dm-0' : 'dm-1',
      number: lun.mapNumber,
      mapName: lun.map,
      uuid: `mpath-${wwid}`,
      sizeBytes: 107374182400,
      rotational: true,
      // kpartx_id(8)
      udev: {
        DM_NAME: lun.map,
        DM_UUID: `mpath-${wwid}`,
        DM_SERIAL: wwid,
        DM_WWN: `0x${wwid.slice(1)}`,
        DM_TYPE: 'scsi',
      },
      links: [`disk/by-id/dm-uuid-mpath-${wwid}`],
    },
    lun.paths.map(({ name }) => ({ name, directory: directoryOf(paths, name) })),
  )
  return { ...paths, ...map }
}

/** multipath(8): of a path it says the map, of a map and of a disk without one it fails. */
function multipathAnswers(): Answers {
  const answers: Record<string, string> = { 'multipath -ll': '', multipathd: '' }
  for (const lun of LUNS) {
    const map = lun.map === 'mpatha' ? 'dm-0' : 'dm-1'
    const text = [
      `${lun.map} (${lun.wwid}) ${map} ${lun.vendor},${lun.model}`,
      "size=100G features='1 queue_if_no_path' hwhandler='1 alua' wp=rw",
      "`-+- policy='service-time 0' prio=50 status=active",
      ...lun.paths.map(
        ({ name, number, hctl }) => `  |- ${hctl} ${name} ${number} active ready running`,
      ),
      '',
    ].join('\n')
    answers['multipath -ll'] += text
    for (const { name } of lun.paths) {
      answers[`multipath -c /dev/${name}`] = `${name} is a valid multipath device path\n`
      answers[`multipath -ll /dev/${name}`] = text
    }
  }
  return answers
}

export const FIBRE_CHANNEL: RecordedMachine = {
  name: 'fibre-channel',
  what: 'LUNs over Fibre Channel and iSCSI by two paths each, a BMC on channel 8',
  files: FILES,
  nodes: { ...nodesOf(FILES), '/dev/ipmi0': 'c 240:0' },
  links: [
    {
      name: 'eno1',
      address: '9c:b6:54:00:00:01',
      ipv4: '192.0.2.12',
      modes: ['10baseT/Half', '100baseT/Full', '1000baseT/Full'],
      speed: 1000,
    },
  ],
  answers: {
    ...multipathAnswers(),
    'ipmitool lan print 1': lanAnswer({ address: '0.0.0.0', mac: '3c:a8:2a:00:00:01' }),
    'ipmitool lan print 8': lanAnswer({ address: '192.0.2.202', mac: '3c:a8:2a:00:00:08' }),
  },
  kernelCommandLine: 'BOOTIF=01-9c-b6-54-00-00-01',
  hostname: 'ramdisk',
}
