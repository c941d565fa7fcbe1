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
  /** Loaded at boot, because no device asks for them by modalias. Absent ones are built into the kernel. */
  readonly loadedAtBoot: readonly string[]
}

const FILE_SYSTEMS = [
  'btrfs',
  'efivarfs',
  'ext4',
  'isofs',
  'nls_ascii',
  'nls_cp437',
  'nls_iso8859-1',
  'nls_utf8',
  'overlay',
  'squashfs',
  'udf',
  'vfat',
  'xfs',
]

const STORAGE = [
  'dm-mod',
  'drivers/md/',
  'loop',
  'nbd',
  'drivers/nvme/host/',
  'sd_mod',
  'sg',
  'sr_mod',
]

const VIRTUAL = [
  'ata_piix',
  'ata_generic',
  'ahci',
  'e1000',
  'e1000e',
  'net_failover',
  'qemu_fw_cfg',
  'virtio_balloon',
  'virtio_blk',
  'virtio-rng',
  'virtio_mmio',
  'virtio_net',
  'virtio_pci',
  'virtio_scsi',
  'vmw_pvscsi',
  'vmxnet3',
]

const NETWORK = ['8021q', 'bonding', 'af_packet']

const LOADED_AT_BOOT = ['loop', 'vfat', 'isofs', 'nls_cp437', 'nls_ascii', 'efivarfs', 'sg']

export const VARIANTS: Readonly<Record<Variant['name'], Variant>> = {
  metal: {
    name: 'metal',
    prefix: 'ironswarm',
    kernelPackage: 'linux-image-amd64',
    modules: [
      ...FILE_SYSTEMS,
      ...STORAGE,
      ...VIRTUAL,
      ...NETWORK,
      'drivers/acpi/',
      'drivers/ata/',
      'drivers/block/',
      'drivers/char/hw_random/',
      'drivers/char/ipmi/',
      'drivers/firmware/',
      'drivers/hid/usbhid/',
      'drivers/hv/',
      'drivers/infiniband/hw/mlx5/',
      'drivers/infiniband/ulp/ipoib/',
      'drivers/message/fusion/',
      'drivers/mmc/',
      'drivers/net/ethernet/',
      'drivers/net/hyperv/',
      'drivers/net/mdio/',
      'drivers/net/phy/',
      'drivers/net/usb/',
      'drivers/nvdimm/',
      'drivers/pci/controller/vmd',
      'drivers/scsi/',
      'drivers/target/',
      'drivers/ufs/',
      'drivers/usb/host/',
      'drivers/usb/storage/',
      'drivers/virtio/',
      'i2c-i801',
    ],
    loadedAtBoot: [...LOADED_AT_BOOT, 'ipmi_si', 'ipmi_devintf', 'usbhid'],
  },
  vm: {
    name: 'vm',
    prefix: 'ironswarm-vm',
    kernelPackage: 'linux-image-cloud-amd64',
    modules: [...FILE_SYSTEMS, ...STORAGE, ...VIRTUAL, ...NETWORK],
    loadedAtBoot: LOADED_AT_BOOT,
  },
}

/** The variant of `RAMDISK=`; bare metal unless it says vm. Throws for any other word. */
export function variantOf(word: string | undefined): Variant {
  if (word === undefined || word === '') return VARIANTS.metal
  if (word === 'vm' || word === 'metal') return VARIANTS[word]
  throw new Error(`RAMDISK=${word}: there are RAMDISK=metal (the default) and RAMDISK=vm`)
}
