// SPDX-License-Identifier: Apache-2.0
// Owns the disks of a recorded machine: block devices in sysfs, what udev found out of them and the links it made.
import { posix } from 'node:path'
import { linkTo, type PciFunction, pciDirectory, pciFunction, virtioDevice } from './parts.ts'
import type { Files } from './tree.ts'

export interface BlockDevice {
  /** Kernel name. */
  readonly name: string
  /** `8:0`. */
  readonly number: string
  readonly sizeBytes: number
  readonly rotational?: boolean
  readonly logicalSector?: number
  readonly physicalSector?: number
  /** What udev knows of it. */
  readonly udev?: Readonly<Record<string, string>>
  /** Links below /dev, `disk/by-path/pci-…`. */
  readonly links?: readonly string[]
}

/** Whole disks and their nodes; `at` is the directory of the block device. */
function blockDevice(at: string, device: BlockDevice): Files {
  const { name, number, sizeBytes, udev = {}, links = [] } = device
  const [major, minor] = number.split(':')
  const sector = device.logicalSector ?? 512
  const properties = Object.entries(udev).map(([key, value]) => `E:${key}=${value}\n`)
  return {
    [`${at}/dev`]: `${number}\n`,
    [`${at}/size`]: `${sizeBytes / 512}\n`,
    [`${at}/ro`]: '0\n',
    [`${at}/removable`]: '0\n',
    [`${at}/hidden`]: '0\n',
    [`${at}/uevent`]: `MAJOR=${major}\nMINOR=${minor}\nDEVNAME=${name}\nDEVTYPE=disk\n`,
    [`${at}/queue/rotational`]: device.rotational ? '1\n' : '0\n',
    [`${at}/queue/logical_block_size`]: `${sector}\n`,
    [`${at}/queue/hw_sector_size`]: `${sector}\n`,
    [`${at}/queue/physical_block_size`]: `${device.physicalSector ?? sector}\n`,
    ...linkTo(`${at}/subsystem`, '/sys/class/block'),
    ...linkTo(`/sys/class/block/${name}`, at),
    ...linkTo(`/sys/block/${name}`, at),
    ...linkTo(`/sys/dev/block/${number}`, at),
    [`/run/udev/data/b${number}`]: [
      ...links.map((link) => `S:${link}\n`),
      'I:1000000\n',
      ...properties,
      'G:systemd\n',
    ].join(''),
    ...Object.assign({}, ...links.map((link) => linkTo(`/dev/${link}`, `/dev/${name}`))),
  }
}

/** One without a device of its own in sysfs, as memory that poses as a disk. */
export function bareDisk(device: BlockDevice): Files {
  return blockDevice(`/sys/devices/virtual/block/${device.name}`, device)
}

export interface ScsiDisk extends BlockDevice {
  /** `0:0:0:0`. */
  readonly hctl: string
  readonly vendor: string
  readonly model: string
  /** Driver of the host, `ahci`; what kind of host it is, `fc_host`, if it is of a fabric. */
  readonly host: string
  readonly fabric?: string
  /** Directory names between controller and host: `ata1`. */
  readonly way?: string
}

export function scsiDisk(controller: PciFunction, disk: ScsiDisk): Files {
  const [host, channel, target] = disk.hctl.split(':')
  const way = [disk.way, `host${host}`].filter((part) => part !== undefined).join('/')
  const hostAt = `${pciDirectory(controller)}/${way}`
  const device = `${hostAt}/target${host}:${channel}:${target}/${disk.hctl}`
  const at = `${device}/block/${disk.name}`
  const classOf = (name: string): Files => ({
    [`${hostAt}/${name}/host${host}/proc_name`]: `${disk.host}\n`,
    [`${hostAt}/${name}/host${host}/symbolic_name`]: `${disk.host}\n`,
    ...linkTo(`/sys/class/${name}/host${host}`, `${hostAt}/${name}/host${host}`),
  })
  return {
    ...pciFunction(controller),
    ...blockDevice(at, disk),
    ...linkTo(`${at}/device`, device),
    // the kernel pads both
    [`${device}/vendor`]: `${disk.vendor.padEnd(8)}\n`,
    [`${device}/model`]: `${disk.model.padEnd(16)}\n`,
    [`${device}/type`]: '0\n',
    [`${device}/scsi_device/${disk.hctl}/uevent`]: '',
    [`${device}/uevent`]: 'DEVTYPE=scsi_device\n',
    ...linkTo(`${device}/subsystem`, '/sys/bus/scsi'),
    [`${hostAt}/uevent`]: 'DEVTYPE=scsi_host\n',
    ...classOf('scsi_host'),
    ...(disk.fabric === undefined ? {} : classOf(disk.fabric)),
  }
}

export interface NvmeDisk extends BlockDevice {
  /** `nvme0`. */
  readonly controller: string
  readonly model: string
  readonly serial: string
  readonly wwid: string
}

export function nvmeDisk(pci: Omit<PciFunction, 'class'>, disk: NvmeDisk): Files {
  const whole = { ...pci, class: '010802', driver: 'nvme' }
  const device = `${pciDirectory(whole)}/nvme/${disk.controller}`
  const at = `${device}/${disk.name}`
  return {
    ...pciFunction(whole),
    ...blockDevice(at, disk),
    ...linkTo(`${at}/device`, device),
    [`${at}/wwid`]: `${disk.wwid}\n`,
    [`${device}/model`]: `${disk.model.padEnd(40)}\n`,
    [`${device}/serial`]: `${disk.serial.padEnd(20)}\n`,
    [`${device}/transport`]: 'pcie\n',
    [`${device}/uevent`]: '',
    ...linkTo(`${device}/device`, pciDirectory(whole)),
    ...linkTo(`/sys/class/nvme/${disk.controller}`, device),
  }
}

export function virtioDisk(
  pci: Omit<PciFunction, 'class' | 'ids'>,
  index: number,
  disk: BlockDevice,
): Files {
  const whole = { ...pci, ids: '1af4:1001', class: '010000', driver: 'virtio-pci' }
  const device = `${pciDirectory(whole)}/virtio${index}`
  const at = `${device}/block/${disk.name}`
  return {
    ...pciFunction(whole),
    ...virtioDevice(device, '0x0002', 'virtio_blk'),
    ...blockDevice(at, disk),
    ...linkTo(`${at}/device`, device),
  }
}

/** A map of device-mapper over paths, which have to be there. */
export function multipathMap(
  map: BlockDevice & { readonly mapName: string; readonly uuid: string },
  paths: readonly { readonly name: string; readonly directory: string }[],
): Files {
  const at = `/sys/devices/virtual/block/${map.name}`
  const ways = paths.map(({ name, directory }) => ({
    ...linkTo(`${at}/slaves/${name}`, directory),
    ...linkTo(`${directory}/holders/${map.name}`, at),
  }))
  return Object.assign(
    blockDevice(at, map),
    { [`${at}/dm/name`]: `${map.mapName}\n`, [`${at}/dm/uuid`]: `${map.uuid}\n` },
    linkTo(`/dev/mapper/${map.mapName}`, `/dev/${map.name}`),
    ...ways,
  )
}

/** An array of two whole disks. */
export function mirror(
  array: BlockDevice,
  members: readonly { readonly name: string; readonly directory: string }[],
): Files {
  const at = `/sys/devices/virtual/block/${array.name}`
  const ways = members.map(({ name, directory }) => ({
    ...linkTo(`${at}/slaves/${name}`, directory),
    ...linkTo(`${directory}/holders/${array.name}`, at),
  }))
  return Object.assign(
    blockDevice(at, array),
    { [`${at}/md/level`]: 'raid1\n', [`${at}/md/metadata_version`]: '1.2\n' },
    ...ways,
  )
}

/** Where the kernel keeps it: what its link of /sys/class/block leads to. */
export function directoryOf(files: Files, name: string): string {
  const at = `/sys/class/block/${name}`
  const link = files[at]
  if (typeof link !== 'string') throw new Error(`no block device ${name}`)
  return posix.join(posix.dirname(at), link.slice('-> '.length))
}

/** The nodes of all block devices among the files. */
export function nodesOf(files: Files): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [path, text] of Object.entries(files)) {
    const match = /\/([^/]+)\/dev$/.exec(path)
    if (match && path.includes('/block/') && typeof text === 'string')
      found[`/dev/${match[1]}`] = `b ${text.trim()}`
    else if (match && path.includes('/nvme/') && typeof text === 'string')
      found[`/dev/${match[1]}`] = `b ${text.trim()}`
  }
  return found
}
