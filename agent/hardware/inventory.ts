// SPDX-License-Identifier: Apache-2.0
// Owns the shapes of what the agent knows of its machine. Does not find anything out; generic/ does.

/** A disk that may become the root disk. Sizes in bytes; unknown values are null. */
export interface Disk {
  /** Path of the device node by its kernel name, `/dev/nvme0n1`; the path as given for a regular file. */
  readonly name: string
  readonly model: string | null
  readonly sizeBytes: number
  readonly rotational: boolean
  readonly wwn: string | null
  readonly wwnWithExtension: string | null
  readonly wwnVendorExtension: string | null
  readonly serial: string | null
  readonly vendor: string | null
  readonly hctl: string | null
  readonly byPath: string | null
  readonly logicalSectorBytes: number | null
  readonly physicalSectorBytes: number | null
  readonly transport: string | null
  /** Every spelling of the serial number (lsblk, udev short and long): a hint may match any. */
  readonly serials: readonly string[]
  /** The same of the WWN. */
  readonly wwns: readonly string[]
  /** Every link below /dev/disk that leads here; `byPath` is one of them. */
  readonly links: readonly string[]
  /** What the kernel knows to lie on it, and the paths of a map; an operator may name one of them to keep it. */
  readonly partitions: readonly DiskPartition[]
  /** Names of the software RAID volumes that it is part of, or is, as their superblocks have them. */
  readonly raidVolumes: readonly string[]
  /** Paths of what it is made of, down to the disks: the members of an array, the partitions that they are. */
  readonly liesOn: readonly string[]
  /** The kernel lets nobody write to it. */
  readonly isReadOnly: boolean
  /** A hardware manager hides it: no list shows it. */
  readonly isHidden?: boolean
  /** Why it is neither erased nor a root disk; null for a disk like any other. */
  readonly leftAlone: LeftAlone | null
  /** Named by the option `block_devices`: the operator chose it, so no smallest size applies. */
  readonly isListed: boolean
}

/** Why the content of a disk stays (docs/design/130-disks-left-alone.md). */
export interface LeftAlone {
  /** Half a sentence: `sda1 is a member of the RAID array md127`. */
  readonly reason: string
  /** True if the operator asked for it; else what a tenant has left there may be there still. */
  readonly isWanted: boolean
}

/** A partition as hints may name it; of a multipath map also a path. */
export interface DiskPartition {
  /** `/dev/sda1`. */
  readonly name: string
  /** As {@link Disk.links}. */
  readonly links: readonly string[]
  /** Of a path; a partition has that of its disk. */
  readonly hctl?: string | null
}

/** The inventory exactly as it goes over the wire (contract 6.1): keys in snake_case, all present. */
export interface Inventory {
  readonly interfaces: readonly WireInterface[]
  readonly cpu: WireCpu
  readonly disks: readonly WireDisk[]
  readonly memory: { readonly total: number | null; readonly physical_mb: number | null }
  readonly bmc_address: string | null
  readonly bmc_v6address: string | null
  /** The one key that is left out when unknown. */
  readonly bmc_mac?: string
  readonly system_vendor: WireSystemVendor
  readonly boot: {
    readonly current_boot_mode: 'uefi' | 'bios'
    /** BOOTIF as the kernel command line has it, `01-52-54-00-aa-bb-01`; null if not told. */
    readonly pxe_interface: string | null
  }
  readonly hostname: string | null
}

export interface WireInterface {
  readonly name: string
  /** The permanent one, lower case; an interface without any is not listed. */
  readonly mac_address: string
  readonly ipv4_address: string | null
  readonly ipv6_address: string | null
  readonly has_carrier: boolean
  /** Empty if nothing came, null if nobody listened. */
  readonly lldp: WireLldp | null
  readonly vendor: string | null
  readonly product: string | null
  readonly client_id: string | null
  readonly biosdevname: string | null
  /** What it is able to; null if unknown. */
  readonly speed_mbps: number | null
  readonly pci_address: string | null
  readonly driver: string | null
}

/** Type and value in hex of each TLV. */
export type WireLldp = readonly (readonly [type: number, hex: string])[]

export interface WireCpu {
  readonly model_name: string | null
  /** MHz, as text. */
  readonly frequency: string | null
  readonly count: number | null
  readonly architecture: string | null
  readonly flags: readonly string[]
  readonly socket_count: number | null
}

export interface WireDisk {
  readonly name: string
  readonly model: string | null
  readonly size: number
  readonly rotational: boolean
  readonly wwn: string | null
  readonly serial: string | null
  readonly vendor: string | null
  readonly wwn_with_extension: string | null
  readonly wwn_vendor_extension: string | null
  readonly hctl: string | null
  readonly by_path: string | null
  readonly logical_sectors: number | null
  readonly physical_sectors: number | null
  readonly tran: string | null
}

/** As the firmware says; unknown strings are empty, as in ironic-python-agent's inventory. */
export interface WireSystemVendor {
  readonly product_name: string
  readonly serial_number: string
  readonly manufacturer: string
  readonly firmware: {
    readonly vendor: string
    readonly version: string
    readonly build_date: string
  }
}

/** A device that is plugged in by USB; texts are empty where it says nothing. */
export interface WireUsbDevice {
  readonly product: string
  readonly vendor: string
  /** `USB:<bus>:<device>` */
  readonly handle: string
}
