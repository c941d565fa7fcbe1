// SPDX-License-Identifier: Apache-2.0
// Owns how a machine is told to QEMU 7.2: chipset, firmware, disk, NIC, drives, order of boot devices.
// Pure; does not start anything.
import type { Accelerator } from './accelerator.ts'

export type Firmware = 'bios' | 'uefi'
/** `moreDisks`: those besides the machine's own, in their order; BIOS tries the first disk alone. */
export type BootDevice = 'network' | 'disk' | 'moreDisks' | 'cdrom'

export interface Hardware {
  readonly name: string
  readonly uuid: string
  readonly mac: string
  /** Raw file behind the virtio disk. */
  readonly disk: string
  readonly memoryMib: number
  readonly processors: number
  readonly accelerator: Accelerator
  /** Tap device that exists already; undefined: no NIC. */
  readonly tap: string | undefined
  /** True: the NIC has no iPXE of its own and the firmware fetches one by TFTP, as most servers do. */
  readonly hasPlainNic?: boolean
  /** True: the disk is an NVMe drive instead of a virtio one. */
  readonly hasNvme?: boolean
  /** True: a VGA adapter, whose picture can be taken; else nobody could see one. */
  readonly hasScreen?: boolean
  readonly moreDisks?: readonly MoreDisk[]
  /** What a server has and a virtual machine lacks: see {@link serverArguments}. Two processors at least. */
  readonly server?: Server
  /** What its hardware clock says at power-on, as QEMU's `-rtc base` has it; the right time unless given. */
  readonly clock?: string
}

export interface Server {
  /** Where its BMC listens, of 127.0.0.1 (bmc.ts). */
  readonly bmcPort: number
}

/** A disk besides the one that the machine boots from. */
export interface MoreDisk {
  /** Raw file behind it. */
  readonly path: string
  /** At most 20 characters, as virtio has them. */
  readonly serial: string
  /** A LUN that the machine sees as two SCSI disks; else it is a virtio disk. */
  readonly isLun: boolean
  /** An NVMe drive instead. */
  readonly isNvme?: boolean
}

export interface Boot {
  readonly firmware: Firmware
  readonly device: BootDevice
  /** Started by QEMU itself, without any firmware's boot device. */
  readonly kernel?: {
    readonly kernel: string
    readonly initramfs: string
    readonly cmdline: string
  }
  /** ISO in the CD drive; the drive is there even when it is empty. */
  readonly cdrom?: string | undefined
  /** Image in a second CD drive, which is there only with a disc: parameters beside a prebuilt ISO. */
  readonly secondCdrom?: string | undefined
  /** Image behind a removable USB stick, as virtual media has them. */
  readonly usbStick?: string | undefined
  /** True: a keyboard by USB and no PS/2 port, as BMCs and newer servers have it. */
  readonly hasUsbKeyboard?: boolean
}

export interface Files {
  /** UEFI variables of this machine; written by its firmware. */
  readonly uefiVariables: string
  readonly serialSocket: string
  readonly serialLog: string
}

const OVMF_CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd'
export const OVMF_VARIABLES = '/usr/share/OVMF/OVMF_VARS_4M.fd'

/** argv after the program's name. Monitor on stdin/stdout; a reset by the guest ends QEMU. */
export function qemuArguments(hardware: Hardware, boot: Boot, files: Files): string[] {
  const order = bootOrder(boot.device)
  // biome-ignore format: one flag and its value per pair
  return [
    '-name', hardware.name,
    '-uuid', hardware.uuid,
    '-machine', `q35${boot.hasUsbKeyboard ? ',i8042=off' : ''}`,
    '-accel', hardware.accelerator,
    '-cpu', 'max',
    '-smp', `${hardware.processors}${hardware.server ? ',sockets=2' : ''}`,
    '-m', String(hardware.memoryMib),
    '-nodefaults',
    ...(hardware.clock === undefined ? [] : ['-rtc', `base=${hardware.clock}`]),
    '-display', 'none',
    ...(hardware.hasScreen ? ['-vga', 'std'] : []),
    '-action', 'reboot=shutdown',
    '-qmp', 'stdio',
    '-chardev', `socket,id=console,path=${files.serialSocket},server=on,wait=off,logfile=${files.serialLog},logappend=on`,
    '-serial', 'chardev:console',
    ...firmwareArguments(boot.firmware, files),
    // killing QEMU is pulling the plug of the machine, not of the host: its page cache stays
    '-drive', `file=${hardware.disk},format=raw,if=none,id=disk,cache=unsafe,discard=unmap`,
    '-device', `${hardware.hasNvme ? 'nvme' : 'virtio-blk-pci'},drive=disk,serial=${hardware.name},bootindex=${order.disk}`,
    ...moreDiskArguments(hardware.moreDisks ?? [], order.moreDisks),
    ...nicArguments(hardware, order.network),
    ...cdromArguments(boot.cdrom, order.cdrom),
    ...secondCdromArguments(boot.secondCdrom),
    ...usbArguments(boot.usbStick),
    ...(boot.hasUsbKeyboard ? USB_KEYBOARD : []),
    ...(hardware.server ? serverArguments(hardware.memoryMib, hardware.server) : []),
    ...kernelArguments(boot.kernel),
  ]
}

/** QEMU's bootindex of each device: the chosen one first, then disk, more disks, CD drive, network. */
export function bootOrder(first: BootDevice): Record<BootDevice, number> {
  const order = { disk: 9, moreDisks: 10, cdrom: 30, network: 40 }
  return { ...order, [first]: 1 }
}

function firmwareArguments(firmware: Firmware, { uefiVariables }: Files): string[] {
  // SeaBIOS is QEMU's default
  if (firmware === 'bios') return []
  // biome-ignore format: one flag and its value per pair
  return [
    '-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${OVMF_CODE}`,
    '-drive', `if=pflash,format=raw,unit=1,file=${uefiVariables}`,
  ]
}

function moreDiskArguments(disks: readonly MoreDisk[], firstIndex: number): string[] {
  if (disks.length === 0) return []
  const each = disks.flatMap((disk, i) => {
    const { path, serial, isLun, isNvme } = disk
    return driveIds(disk, i).flatMap((id) => {
      // both ways lead to one file, which QEMU would lock
      const drive = `file.filename=${path},file.locking=off,format=raw,if=none,id=${id},cache=unsafe`
      const wwn = `wwn=0x5000c500${String(i).padStart(8, '0')}`
      const scsi = `scsi-hd,bus=scsi.0,drive=${id},serial=${serial},${wwn},share-rw=on`
      // UEFI drops boot entries of disks without one
      const device = isLun
        ? scsi
        : `${isNvme ? 'nvme' : 'virtio-blk-pci'},drive=${id},serial=${serial},bootindex=${firstIndex + i}`
      return ['-drive', drive, '-device', device]
    })
  })
  return ['-device', 'virtio-scsi-pci,id=scsi', ...each]
}

/** By which QEMU's monitor knows the ways to the disk at that place among `moreDisks`. */
export function driveIds({ isLun }: MoreDisk, place: number): string[] {
  return Array.from({ length: isLun ? 2 : 1 }, (_, way) => `more${place}-${way}`)
}

function nicArguments({ tap, mac, hasPlainNic }: Hardware, bootIndex: number): string[] {
  if (tap === undefined) return []
  const rom = hasPlainNic ? ',romfile=' : ''
  // biome-ignore format: one flag and its value per pair
  return [
    '-netdev', `tap,id=net,ifname=${tap},script=no,downscript=no`,
    '-device', `virtio-net-pci,netdev=net,mac=${mac},bootindex=${bootIndex}${rom}`,
  ]
}

function cdromArguments(image: string | undefined, bootIndex: number): string[] {
  const file = image === undefined ? '' : `,file=${image},format=raw`
  // biome-ignore format: one flag and its value per pair
  return [
    '-drive', `if=none,id=cdrom,media=cdrom,readonly=on${file}`,
    '-device', `ide-cd,drive=cdrom,bus=ide.0,bootindex=${bootIndex}`,
  ]
}

function secondCdromArguments(image: string | undefined): string[] {
  if (image === undefined) return []
  // biome-ignore format: one flag and its value per pair
  return [
    '-drive', `if=none,id=cdrom2,media=cdrom,readonly=on,file=${image},format=raw`,
    '-device', 'ide-cd,drive=cdrom2,bus=ide.1',
  ]
}

function usbArguments(image: string | undefined): string[] {
  if (image === undefined) return []
  // biome-ignore format: one flag and its value per pair
  return [
    '-drive', `if=none,id=stick,format=raw,readonly=on,file=${image}`,
    '-device', 'qemu-xhci,id=usb',
    '-device', 'usb-storage,bus=usb.0,drive=stick,removable=on',
  ]
}

/** At a controller of its own. */
const USB_KEYBOARD = ['-device', 'qemu-xhci,id=keys', '-device', 'usb-kbd,bus=keys.0']

/** What the firmware of a machine with {@link Hardware.server} says of it. */
export const SERVER_FIRMWARE = {
  ...{ biosVendor: 'Acme Firmware', biosVersion: '7.1.3', biosDate: '02/28/2025' },
  ...{ manufacturer: 'Acme', product: 'Anvil 9000', serial: 'SN-4711', sku: 'SKU-42' },
} as const

/** Addresses of its NICs besides the one it boots from: e1000e, whose driver names permanent addresses and speeds. */
export const SERVER_NICS = ['52:54:00:e1:00:01', '52:54:00:e1:00:02'] as const

/**
 * Two NUMA nodes with a socket each, a maker's words in SMBIOS, a BMC behind KCS, a USB tablet at a controller of its own, and
 * two NICs at a hub where nobody else is.
 */
function serverArguments(memoryMib: number, { bmcPort }: Server): string[] {
  const { biosVendor, biosVersion, biosDate, ...system } = SERVER_FIRMWARE
  const { manufacturer, product, serial, sku } = system
  const nodes = [0, 1].flatMap((node) => [
    ...['-object', `memory-backend-ram,id=ram${node},size=${memoryMib / 2}M`],
    ...['-numa', `node,nodeid=${node},memdev=ram${node}`],
    ...['-numa', `cpu,node-id=${node},socket-id=${node}`],
  ])
  const nics = SERVER_NICS.flatMap((mac, i) => [
    ...['-netdev', `hubport,id=hub${i},hubid=0`],
    ...['-device', `e1000e,netdev=hub${i},mac=${mac},romfile=`],
  ])
  // biome-ignore format: one flag and its value per pair
  return [
    ...nics,
    ...nodes,
    '-smbios', `type=0,vendor=${biosVendor},version=${biosVersion},date=${biosDate}`,
    '-smbios', `type=1,manufacturer=${manufacturer},product=${product},serial=${serial},sku=${sku}`,
    '-chardev', `socket,id=bmc,host=127.0.0.1,port=${bmcPort},reconnect=5`,
    '-device', 'ipmi-bmc-extern,id=bmc,chardev=bmc',
    '-device', 'isa-ipmi-kcs,bmc=bmc',
    '-device', 'qemu-xhci,id=server-usb',
    '-device', 'usb-tablet,bus=server-usb.0',
  ]
}

function kernelArguments(kernel: Boot['kernel']): string[] {
  if (!kernel) return []
  return ['-kernel', kernel.kernel, '-initrd', kernel.initramfs, '-append', kernel.cmdline]
}
