// SPDX-License-Identifier: Apache-2.0
// Owns how the two ramdisks differ: the kernel, the drivers, the names of the outputs.

export interface Variant {
  readonly name: 'metal' | 'vm'
  /** Output files are build/<prefix>.kernel and build/<prefix>.initramfs. */
  readonly prefix: string
  /** Debian's meta package of the kernel. */
  readonly kernelPackage: string
  /** Kernel modules: a name, or a folder below kernel/ (with a slash). What they need comes with them. */
  readonly modules: readonly string[]
  /** Takes HARDWARE_PROGRAMS of contents.ts too. */
  readonly hasHardwareTools: boolean
  /** Takes QEMU_PROGRAMS of contents.ts too: what reads vmdk, vhd, vhdx and vdi. */
  readonly hasQemu: boolean
  /** Takes BURN_IN_PROGRAMS of contents.ts too: what burns a machine in. */
  readonly hasBurnIn: boolean
  /** Takes PODMAN_PROGRAMS of contents.ts too: what runs containers. */
  readonly hasPodman: boolean
  /** Takes NVIDIA_PROGRAMS of contents.ts too: what updates the firmware of Nvidia NICs. */
  readonly hasMstflint: boolean
  /** Options of `udevadm trigger`: the devices a driver is looked for. */
  readonly coldplug: readonly string[]
  /** Loaded at boot, because no device asks for them by modalias. */
  readonly loadedAtBoot: readonly string[]
}

/** Of config drives, boot media and EFI partitions; the root's own come with the first program. */
const FILE_SYSTEMS = [
  // what ext4 and xfs ask the kernel's crypto for, by no dependency
  'crc32c_generic',
  'efivarfs',
  'ext4',
  'isofs',
  'nls_ascii',
  'nls_cp437',
  'nls_iso8859-1',
  'nls_utf8',
  'vfat',
]

/** What kernels leave of their crashes in EFI variables, for erase_pstore. */
const CRASHES = ['efi-pstore']

const STORAGE = ['nvme', 'sd_mod', 'sg', 'sr_mod']

/** Disks, NICs and what else virtual machines have. */
const VIRTUAL = [
  'ahci',
  'ata_generic',
  'ata_piix',
  'e1000',
  'e1000e',
  'qemu_fw_cfg',
  'virtio-rng',
  'virtio_balloon',
  'virtio_blk',
  'virtio_mmio',
  'virtio_net',
  'virtio_pci',
  'virtio_scsi',
  'vmw_pvscsi',
  'vmxnet3',
  // virtual media as a USB drive
  'usb-storage',
  'xhci_pci',
]

/** Software RAID of every level that Ironic knows; nothing asks for them by modalias. */
const RAID = ['md_mod', 'raid0', 'raid1', 'raid10', 'raid456']

/** Device-mapper asks for the rest by name; the handlers are what arrays want to be asked by. */
const MULTIPATH = [
  ...['dm_mod', 'dm_multipath', 'dm_queue_length', 'dm_round_robin', 'dm_service_time'],
  ...['scsi_dh_alua', 'scsi_dh_emc', 'scsi_dh_hp_sw', 'scsi_dh_rdac'],
]

/** By USB, as those of BMCs are; the kernel itself has drivers of PS/2. */
const KEYBOARD = ['hid-generic', 'usbhid']

const NETWORK = ['8021q', 'af_packet', 'bonding']

export const VARIANTS: Readonly<Record<Variant['name'], Variant>> = {
  metal: {
    name: 'metal',
    prefix: 'ironswarm',
    kernelPackage: 'linux-image-amd64',
    hasHardwareTools: true,
    hasQemu: false,
    hasBurnIn: false,
    hasPodman: false,
    hasMstflint: false,
    modules: [
      ...FILE_SYSTEMS,
      ...STORAGE,
      ...CRASHES,
      ...VIRTUAL,
      ...KEYBOARD,
      ...NETWORK,
      ...RAID,
      ...MULTIPATH,
      'btrfs',
      'udf',
      'xfs',
      'drivers/acpi/',
      'drivers/ata/',
      'drivers/block/',
      'drivers/char/hw_random/',
      'drivers/char/ipmi/',
      'drivers/firmware/',
      'drivers/hv/',
      'drivers/infiniband/hw/mlx5/',
      'drivers/infiniband/ulp/ipoib/',
      'drivers/md/',
      'drivers/message/fusion/',
      'drivers/mmc/',
      'drivers/net/ethernet/',
      'drivers/net/hyperv/',
      'drivers/net/mdio/',
      'drivers/net/phy/',
      'drivers/net/usb/',
      'drivers/nvdimm/',
      'drivers/nvme/host/',
      'drivers/pci/controller/vmd',
      'drivers/scsi/',
      'drivers/target/',
      'drivers/ufs/',
      'drivers/usb/host/',
      'drivers/usb/storage/',
      'drivers/virtio/',
      'i2c-i801',
    ],
    // every processor has an alias too, for ciphers that nobody here asks for
    coldplug: ['--attr-match=modalias', '--subsystem-nomatch=cpu'],
    loadedAtBoot: ['efi_pstore', 'ipmi_si', 'ipmi_devintf', 'iscsi_ibft'],
  },
  vm: {
    name: 'vm',
    prefix: 'ironswarm-vm',
    kernelPackage: 'linux-image-amd64',
    hasHardwareTools: false,
    hasQemu: false,
    hasBurnIn: false,
    hasPodman: false,
    hasMstflint: false,
    modules: [
      ...FILE_SYSTEMS,
      ...STORAGE,
      ...CRASHES,
      ...VIRTUAL,
      ...KEYBOARD,
      ...NETWORK,
      ...RAID,
      ...MULTIPATH,
    ],
    coldplug: ['--subsystem-match=pci', '--subsystem-match=virtio', '--subsystem-match=scsi'],
    loadedAtBoot: ['efi_pstore'],
  },
}

/** The variant of `RAMDISK=`; bare metal unless it says vm. Throws for any other word. */
export function variantOf(word: string | undefined): Variant {
  if (word === undefined || word === '') return VARIANTS.metal
  if (word === 'vm' || word === 'metal') return VARIANTS[word]
  throw new Error(`RAMDISK=${word}: there are RAMDISK=metal (the default) and RAMDISK=vm`)
}
