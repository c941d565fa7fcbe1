// SPDX-License-Identifier: Apache-2.0
// Owns the parts of a recorded machine as the kernel shows them in /sys and /proc, and udev in its database: processors with
// their NUMA nodes, memory, PCI functions, interfaces, USB devices. Disks are in disks.ts.
import { posix } from 'node:path'
import type { Files } from './tree.ts'

/** A symbolic link as sysfs has them: relative, and the target's name is its last part. */
export function linkTo(at: string, target: string): Files {
  const way = posix.relative(posix.dirname(at), posix.dirname(target))
  return { [at]: `-> ${posix.join(way, posix.basename(target))}` }
}

export interface PciFunction {
  /** `0000:01:00.0`. */
  readonly address: string
  /** The way to it, `pci0000:00/0000:00:1c.0`; the root bus alone unless given. */
  readonly behind?: string
  /** `8086:1521`. */
  readonly ids: string
  /** Six hex digits; `020000` is a NIC. */
  readonly class: string
  readonly revision?: string
  readonly driver?: string
  readonly numaNode?: number
}

export function pciDirectory({ address, behind }: PciFunction): string {
  return `/sys/devices/${behind ?? `pci${address.slice(0, 7)}`}/${address}`
}

export function pciFunction(pci: PciFunction): Files {
  const at = pciDirectory(pci)
  const [vendor, device] = pci.ids.split(':')
  const driver = `/sys/bus/pci/drivers/${pci.driver}`
  return {
    [`${at}/vendor`]: `0x${vendor}\n`,
    [`${at}/device`]: `0x${device}\n`,
    [`${at}/class`]: `0x${pci.class}\n`,
    [`${at}/revision`]: `0x${pci.revision ?? '00'}\n`,
    [`${at}/numa_node`]: `${pci.numaNode ?? -1}\n`,
    [`${at}/uevent`]: `PCI_SLOT_NAME=${pci.address}\n`,
    ...linkTo(`${at}/subsystem`, '/sys/bus/pci'),
    ...linkTo(`/sys/bus/pci/devices/${pci.address}`, at),
    ...(pci.driver === undefined
      ? {}
      : { ...linkTo(`${at}/driver`, driver), [`${driver}/bind`]: '' }),
  }
}

export interface Interface {
  readonly name: string
  readonly address: string
  /** 1 with a link, 0 without; none at all reads as an error, as of an interface that is down. */
  readonly carrier?: 0 | 1
  readonly speed?: number
  /** Other attributes, by name below its directory. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** An interface of hardware; `below` is where its device lies, `/sys/devices/…/virtio0`. */
export function interfaceOf(below: string, nic: Interface): Files {
  const at = `${below}/net/${nic.name}`
  return { ...interfaceFiles(at, nic), ...linkTo(`${at}/device`, below) }
}

/** A bond, a VLAN, a bridge. */
export function virtualInterface(nic: Interface): Files {
  return interfaceFiles(`/sys/devices/virtual/net/${nic.name}`, nic)
}

function interfaceFiles(at: string, nic: Interface): Files {
  const own = Object.entries(nic.attributes ?? {}).map(([name, text]) => [`${at}/${name}`, text])
  return {
    [`${at}/address`]: `${nic.address}\n`,
    ...(nic.carrier === undefined ? {} : { [`${at}/carrier`]: `${nic.carrier}\n` }),
    [`${at}/speed`]: `${nic.speed ?? -1}\n`,
    [`${at}/uevent`]: `INTERFACE=${nic.name}\n`,
    ...linkTo(`${at}/subsystem`, '/sys/class/net'),
    ...linkTo(`/sys/class/net/${nic.name}`, at),
    ...Object.fromEntries(own),
  }
}

/** A PCI function and the interface that it is. */
export function pciNic(
  pci: Omit<PciFunction, 'class'> & { class?: string },
  nic: Interface,
): Files {
  const whole = { class: '020000', ...pci }
  return { ...pciFunction(whole), ...interfaceOf(pciDirectory(whole), nic) }
}

/** A virtio NIC: its device lies below the PCI function. */
export function virtioNic(
  pci: Omit<PciFunction, 'class' | 'ids'>,
  index: number,
  nic: Interface,
): Files {
  const whole = { ...pci, ids: '1af4:1000', class: '020000', driver: 'virtio-pci' }
  const device = `${pciDirectory(whole)}/virtio${index}`
  return {
    ...pciFunction(whole),
    ...virtioDevice(device, '0x0001', 'virtio_net'),
    ...interfaceOf(device, nic),
  }
}

export function virtioDevice(at: string, id: string, driver: string): Files {
  return {
    [`${at}/vendor`]: '0x1af4\n',
    [`${at}/device`]: `${id}\n`,
    [`${at}/uevent`]: '',
    ...linkTo(`${at}/subsystem`, '/sys/bus/virtio'),
    ...linkTo(`${at}/driver`, `/sys/bus/virtio/drivers/${driver}`),
    [`/sys/bus/virtio/drivers/${driver}/bind`]: '',
  }
}

export interface Processors {
  readonly model: string
  readonly nodes: number
  readonly coresPerNode: number
  readonly threadsPerCore: 1 | 2
  /** MHz of this moment. */
  readonly frequency: number
  /** MHz at most; a virtual machine's kernel knows none. */
  readonly highest?: number
  readonly flags: string
  readonly memoryKiBPerNode: number
}

/** One socket a NUMA node. Threads count as Linux does: first those of all cores, then their siblings. */
export function processors(of: Processors): Files {
  const cores = of.nodes * of.coresPerNode
  const count = cores * of.threadsPerCore
  const files: Record<string, string> = {
    '/proc/cpuinfo': Array.from({ length: count }, (_, thread) => cpuinfo(of, thread)).join(''),
    '/sys/devices/system/node/possible': range(of.nodes),
    '/sys/devices/system/node/online': range(of.nodes),
    '/sys/devices/system/cpu/kernel_max': '8191\n',
    ...Object.fromEntries(
      ['possible', 'present', 'online'].map((name) => [
        `/sys/devices/system/cpu/${name}`,
        range(count),
      ]),
    ),
  }
  for (let thread = 0; thread < count; thread++) Object.assign(files, threadFiles(of, thread))
  for (let node = 0; node < of.nodes; node++) {
    const at = `/sys/devices/system/node/node${node}`
    files[`${at}/meminfo`] = `Node ${node} MemTotal:       ${of.memoryKiBPerNode} kB\n`
    files[`${at}/cpumap`] = `${maskOf(threadsOf(of, node))}\n`
    files[`${at}/cpulist`] = `${threadsOf(of, node).join(',')}\n`
  }
  return files
}

function range(count: number): string {
  return count === 1 ? '0\n' : `0-${count - 1}\n`
}

function placeOf({ coresPerNode, nodes }: Processors, thread: number) {
  const core = thread % (coresPerNode * nodes)
  return { node: Math.floor(core / coresPerNode), core: core % coresPerNode, whole: core }
}

function threadsOf(of: Processors, node: number): number[] {
  const count = of.nodes * of.coresPerNode * of.threadsPerCore
  return Array.from({ length: count }, (_, thread) => thread).filter(
    (thread) => placeOf(of, thread).node === node,
  )
}

/** Groups of 32 bits, as the kernel prints masks. */
function maskOf(threads: readonly number[]): string {
  const mask = threads.reduce((sum, thread) => sum | (1n << BigInt(thread)), 0n)
  const digits = mask.toString(16).padStart(16, '0')
  return digits.replace(/(.{8})(?=.)/g, '$1,')
}

function threadFiles(of: Processors, thread: number): Files {
  const { node, core, whole } = placeOf(of, thread)
  const at = `/sys/devices/system/cpu/cpu${thread}`
  const cores = of.nodes * of.coresPerNode
  const siblings = of.threadsPerCore === 2 ? [whole, whole + cores] : [whole]
  return {
    [`${at}/topology/core_id`]: `${core}\n`,
    [`${at}/topology/physical_package_id`]: `${node}\n`,
    [`${at}/topology/thread_siblings`]: `${maskOf(siblings)}\n`,
    [`${at}/topology/core_siblings`]: `${maskOf(threadsOf(of, node))}\n`,
    ...(of.highest === undefined
      ? {}
      : {
          [`${at}/cpufreq/cpuinfo_max_freq`]: `${of.highest * 1000}\n`,
          [`${at}/cpufreq/cpuinfo_min_freq`]: '800000\n',
        }),
    ...linkTo(`/sys/devices/system/node/node${node}/cpu${thread}`, at),
  }
}

function cpuinfo(of: Processors, thread: number): string {
  const { node, core } = placeOf(of, thread)
  const lines = [
    `processor\t: ${thread}`,
    'vendor_id\t: GenuineIntel',
    'cpu family\t: 6',
    'model\t\t: 106',
    `model name\t: ${of.model}`,
    'stepping\t: 6',
    `cpu MHz\t\t: ${of.frequency.toFixed(3)}`,
    `physical id\t: ${node}`,
    `siblings\t: ${of.coresPerNode * of.threadsPerCore}`,
    `core id\t\t: ${core}`,
    `cpu cores\t: ${of.coresPerNode}`,
    `flags\t\t: ${of.flags}`,
    'bogomips\t: 4800.00',
  ]
  return `${lines.join('\n')}\n\n`
}

/** What the kernel has of its memory, and the blocks in which it got it. */
export function memory(totalKiB: number, blockMiB: number, blocks: number): Files {
  const at = '/sys/devices/system/memory'
  const zero = [
    'MemFree',
    'MemAvailable',
    'Buffers',
    'Cached',
    'Active',
    'Inactive',
    'Shmem',
    'Slab',
  ]
  return {
    '/proc/meminfo': [
      `MemTotal:       ${totalKiB} kB`,
      ...zero.map((name) => `${name}:       1024 kB`),
      'SReclaimable:   1024 kB\n',
    ].join('\n'),
    [`${at}/block_size_bytes`]: `${(blockMiB * 1024 * 1024).toString(16)}\n`,
    ...Object.fromEntries(
      Array.from({ length: blocks }, (_, block) => [`${at}/memory${block}/online`, '1\n']),
    ),
  }
}

export interface UsbDevice {
  /** `1-1`; `usb1` is a root hub. */
  readonly name: string
  readonly bus: number
  readonly device: number
  /** The device's number of its hub; 0 for a root hub. */
  readonly parent: number
  readonly ids: string
  /** Two hex digits: of the device, and of its first interface; 00 says that the interface tells. */
  readonly class: string
  readonly interfaceClass: string
  readonly product?: string
  readonly manufacturer?: string
  readonly driver: string
}

/** As sysfs shows them, and as debugfs lists them for lshw (usb-devices(1)). */
export function usbDevices(controller: PciFunction, devices: readonly UsbDevice[]): Files {
  const parts = devices.map((device) => {
    const root = `${pciDirectory(controller)}/usb${device.bus}`
    const at = device.name.startsWith('usb') ? root : `${root}/${device.name}`
    const [vendor, product] = device.ids.split(':')
    return {
      [`${at}/busnum`]: `${device.bus}\n`,
      [`${at}/devnum`]: `${device.device}\n`,
      [`${at}/bDeviceClass`]: `${device.class}\n`,
      [`${at}/idVendor`]: `${vendor}\n`,
      [`${at}/idProduct`]: `${product}\n`,
      ...(device.product === undefined ? {} : { [`${at}/product`]: `${device.product}\n` }),
      ...(device.manufacturer === undefined
        ? {}
        : { [`${at}/manufacturer`]: `${device.manufacturer}\n` }),
      ...linkTo(`/sys/bus/usb/devices/${device.name}`, at),
    }
  })
  const list = devices.map(usbText).join('\n')
  return Object.assign(pciFunction(controller), ...parts, {
    '/sys/kernel/debug/usb/devices': list,
  })
}

function usbText(of: UsbDevice): string {
  const isRoot = of.name.startsWith('usb')
  const [vendor, product] = of.ids.split(':')
  const number = (value: number, width: number) => `${value}`.padStart(width)
  const lines = [
    `T:  Bus=${`${of.bus}`.padStart(2, '0')} Lev=${isRoot ? '00' : '01'} Prnt=${`${of.parent}`.padStart(2, '0')} Port=00 Cnt=00 Dev#=${number(of.device, 3)} Spd=480  MxCh=${isRoot ? ' 2' : ' 0'}`,
    `D:  Ver= 2.00 Cls=${of.class}(xxxxx) Sub=00 Prot=00 MxPS=64 #Cfgs=  1`,
    `P:  Vendor=${vendor} ProdID=${product} Rev= 6.01`,
    ...(of.manufacturer === undefined ? [] : [`S:  Manufacturer=${of.manufacturer}`]),
    ...(of.product === undefined ? [] : [`S:  Product=${of.product}`]),
    'C:* #Ifs= 1 Cfg#= 1 Atr=e0 MxPwr=  0mA',
    `I:* If#= 0 Alt= 0 #EPs= 1 Cls=${of.interfaceClass}(xxxxx) Sub=00 Prot=00 Driver=${of.driver}`,
  ]
  return `${lines.join('\n')}\n`
}
