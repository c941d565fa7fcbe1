// SPDX-License-Identifier: Apache-2.0
// Owns what the ramdisk takes from which Debian package. Shared libraries are not listed here: they
// follow from the programs (libraries.ts), and only the packages they may come from are named.
import type { Variant } from './variants.ts'

/** Paths of the package, below the merged /usr. A trailing slash takes a folder with all it holds. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  // the first program has it and hands it on (init)
  'busybox-static': [],
  bzip2: ['usr/bin/bzip2'],
  // sets the clock once (docs/design/370-network-and-clock.md); nobody runs it as a service, so none asks it by chronyc
  chrony: ['usr/sbin/chronyd'],
  'dhcpcd-base': [
    'usr/sbin/dhcpcd',
    // makes dhcpcd wait until udev has named an interface
    'usr/lib/x86_64-linux-gnu/dhcpcd/dev/udev.so',
  ],
  dmidecode: ['usr/sbin/dmidecode'],
  // nodes of multipath maps; libdevmapper waits until its rules are through
  dmsetup: [
    'usr/sbin/dmsetup',
    'usr/lib/udev/rules.d/55-dm.rules',
    'usr/lib/udev/rules.d/60-persistent-storage-dm.rules',
    'usr/lib/udev/rules.d/95-dm-notify.rules',
  ],
  dosfstools: ['usr/sbin/mkfs.fat'],
  'dropbear-bin': ['usr/sbin/dropbear', 'usr/bin/dropbearkey'],
  // the ephemeral partition of a partition image (contract 5.3.10)
  e2fsprogs: ['usr/sbin/mke2fs', 'usr/sbin/e2fsck', 'etc/mke2fs.conf'],
  efibootmgr: ['usr/bin/efibootmgr'],
  gdisk: ['usr/sbin/sgdisk'],
  iproute2: ['usr/bin/ip'],
  // starts the instance without firmware (docs/design/280-kexec.md)
  'kexec-tools': ['usr/sbin/kexec'],
  kmod: ['usr/bin/kmod'],
  // takes capabilities away from programs of an image
  'libcap2-bin': ['usr/sbin/capsh'],
  'libpam-modules': ['usr/lib/x86_64-linux-gnu/security/pam_permit.so'],
  // character sets of FAT names, for mtools
  libc6: ['usr/lib/x86_64-linux-gnu/gconv/IBM437.so', 'usr/lib/x86_64-linux-gnu/gconv/IBM850.so'],
  // arrays come with their members; etc/mdadm/mdadm.conf and etc/modprobe.d/md.conf say how (docs/design/250-software-raid.md)
  mdadm: [
    'usr/sbin/mdadm',
    'usr/lib/udev/rules.d/63-md-raid-arrays.rules',
    'usr/lib/udev/rules.d/64-md-raid-assembly.rules',
  ],
  // joins the paths of LUNs where there are any; etc/multipath.conf says which (docs/design/310-multipath.md)
  'multipath-tools': [
    'usr/lib/multipath/',
    'usr/lib/udev/rules.d/56-dm-mpath.rules',
    'usr/lib/udev/rules.d/60-multipath.rules',
    'usr/sbin/multipath',
    'usr/sbin/multipathd',
  ],
  mount: ['usr/bin/mount', 'usr/bin/umount', 'usr/sbin/losetup'],
  mtools: ['usr/bin/mtools'],
  // erase_devices asks an NVMe drive what it can do (contract 7.7), and virtual machines have such drives
  'nvme-cli': ['usr/sbin/nvme'],
  sudo: ['usr/bin/sudo', 'usr/libexec/sudo/sudoers.so'],
  tcpdump: ['usr/bin/tcpdump'],
  udev: [
    'usr/bin/udevadm',
    'usr/lib/systemd/network/',
    'usr/lib/udev/ata_id',
    'usr/lib/udev/cdrom_id',
    'usr/lib/udev/scsi_id',
    'usr/lib/udev/rules.d/50-firmware.rules',
    'usr/lib/udev/rules.d/50-udev-default.rules',
    'usr/lib/udev/rules.d/60-block.rules',
    'usr/lib/udev/rules.d/60-cdrom_id.rules',
    'usr/lib/udev/rules.d/60-infiniband.rules',
    'usr/lib/udev/rules.d/60-persistent-storage-tape.rules',
    'usr/lib/udev/rules.d/60-persistent-storage.rules',
    'usr/lib/udev/rules.d/73-special-net-names.rules',
    'usr/lib/udev/rules.d/75-net-description.rules',
    'usr/lib/udev/rules.d/80-drivers.rules',
    'usr/lib/udev/rules.d/80-net-setup-link.rules',
  ],
  'util-linux': [
    'usr/bin/findmnt',
    'usr/bin/lsblk',
    'usr/bin/lscpu',
    'usr/bin/partx',
    'usr/bin/prlimit',
    'usr/bin/setpriv',
    'usr/bin/unshare',
    'usr/sbin/blkdiscard',
    'usr/sbin/blkid',
    'usr/sbin/blockdev',
    'usr/sbin/findfs',
    'usr/sbin/mkswap',
    'usr/sbin/wipefs',
  ],
  'util-linux-extra': ['usr/sbin/hwclock'],
  // BusyBox's knows no bound on memory
  'xz-utils': ['usr/bin/xz'],
}

/** Programs that only real hardware has much use for; a virtual machine's disks are erased by writing. */
const HARDWARE_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  ethtool: ['usr/sbin/ethtool'],
  hdparm: ['usr/sbin/hdparm'],
  ipmitool: ['usr/bin/ipmitool'],
  lshw: ['usr/bin/lshw'],
  // logs in to the targets of the firmware's iSCSI table (contract 7.7)
  'open-iscsi': ['usr/sbin/iscsistart'],
  parted: ['usr/sbin/parted', 'usr/sbin/partprobe'],
  smartmontools: ['usr/sbin/smartctl'],
}

/** For images of other hypervisors; few have them, and it brings 15 libraries. */
const QEMU_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  'qemu-utils': ['usr/bin/qemu-nbd'],
}

/** For burn-in, which loads a machine for a day; stress-ng brings 20 libraries, fio those of Ceph and of Gluster. */
const BURN_IN_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  fio: ['usr/bin/fio'],
  'stress-ng': ['usr/bin/stress-ng'],
}

/** For container steps and bootable containers; etc/containers and the script `prepare` set podman up. */
const PODMAN_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  // its certificates: root-tree.ts
  'ca-certificates': [],
  conmon: ['usr/bin/conmon'],
  crun: ['usr/bin/crun'],
  'golang-github-containers-common': [
    'etc/containers/policy.json',
    'usr/share/containers/seccomp.json',
  ],
  'golang-github-containers-image': ['etc/containers/registries.conf'],
  // podman looks for it though containers share the machine's network
  netavark: ['usr/lib/podman/netavark'],
  podman: ['usr/bin/podman'],
}

const PODMAN_LIBRARIES: readonly string[] = [
  'libassuan0',
  'libgpgme11',
  'libsemanage2',
  'libsepol2',
  'libsubid4',
  'libyajl2',
]

/** For firmware of Nvidia NICs; mstfwreset is left out, it would bring Python. */
const NVIDIA_PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  mstflint: ['usr/bin/mstconfig', 'usr/bin/mstflint'],
}

const NVIDIA_LIBRARIES: readonly string[] = [
  'libboost-filesystem1.74.0',
  'libexpat1',
  'libgomp1',
  'libjsoncpp25',
  'libmuparser2v5',
  'libsqlite3-0',
]

/** What the variant takes of which package. */
export function programsOf(variant: Variant): Readonly<Record<string, readonly string[]>> {
  return {
    ...PROGRAMS,
    ...(variant.hasHardwareTools ? HARDWARE_PROGRAMS : {}),
    ...(variant.hasQemu ? QEMU_PROGRAMS : {}),
    ...(variant.hasBurnIn ? BURN_IN_PROGRAMS : {}),
    ...(variant.hasPodman ? PODMAN_PROGRAMS : {}),
    ...(variant.hasMstflint ? NVIDIA_PROGRAMS : {}),
  }
}

/** Where the programs' shared libraries may come from; only what is needed is taken. */
export function librariesOf({ hasBurnIn, hasPodman, hasMstflint }: Variant): readonly string[] {
  return [
    ...LIBRARY_PACKAGES,
    ...(hasBurnIn ? BURN_IN_LIBRARIES : []),
    ...(hasPodman ? PODMAN_LIBRARIES : []),
    ...(hasMstflint ? NVIDIA_LIBRARIES : []),
  ]
}

/** Debian's fio can burn Ceph and Gluster in too. */
const BURN_IN_LIBRARIES: readonly string[] = [
  'libapparmor1',
  'libargon2-1',
  'libboost-iostreams1.74.0',
  'libboost-thread1.74.0',
  'libcryptsetup12',
  'libdaxctl1',
  'libdrm2',
  'libegl1',
  'libexpat1',
  'libfmt9',
  'libgbm1',
  'libgfapi0',
  'libgfrpc0',
  'libgfxdr0',
  'libgles2',
  'libglusterfs0',
  'libglvnd0',
  'libgssapi-krb5-2',
  'libibverbs1',
  'libicu72',
  'libipsec-mb1',
  'libjpeg62-turbo',
  'libjudydebian1',
  'libk5crypto3',
  'libkeyutils1',
  'libkrb5-3',
  'libkrb5support0',
  'libnbd0',
  'libndctl6',
  'libnl-3-200',
  'libnl-route-3-200',
  'libpmem1',
  'libpmemblk1',
  'librados2',
  'librbd1',
  'librdmacm1',
  'libsctp1',
  'libtirpc3',
  'libwayland-server0',
  'libxml2',
]

const LIBRARY_PACKAGES: readonly string[] = [
  'libacl1',
  'libaio1',
  'libaudit1',
  'libblkid1',
  'libbpf1',
  'libbsd0',
  'libbz2-1.0',
  'libc6',
  'libcap-ng0',
  'libcap2',
  'libcom-err2',
  'libcrypt1',
  'libdbus-1-3',
  'libdevmapper1.02.1',
  'libefiboot1',
  'libefivar1',
  'libelf1',
  'libext2fs2',
  'libfdisk1',
  'libffi8',
  'libfreeipmi17',
  'libfuse3-3',
  'libgcc-s1',
  'libgcrypt20',
  'libglib2.0-0',
  'libgmp10',
  'libgnutls30',
  'libgpg-error0',
  'libhogweed6',
  'libidn2-0',
  'libjson-c5',
  'libkmod2',
  'liblz4-1',
  'liblzma5',
  'libmd0',
  'libmnl0',
  'libmount1',
  'libnettle8',
  'libnuma1',
  'libnvme1',
  'libopeniscsiusr',
  'libp11-kit0',
  'libpam0g',
  'libparted2',
  'libpcap0.8',
  'libpcre2-8-0',
  'libpopt0',
  'libreadline8',
  'libseccomp2',
  'libselinux1',
  'libsmartcols1',
  'libss2',
  'libssl3',
  'libstdc++6',
  'libsystemd0',
  'libtasn1-6',
  'libtinfo6',
  'libtomcrypt1',
  'libtommath1',
  'libudev1',
  'libunistring2',
  'liburing2',
  'liburcu8',
  'libuuid1',
  'libxencall1',
  'libxendevicemodel1',
  'libxenevtchn1',
  'libxenforeignmemory1',
  'libxengnttab1',
  'libxenmisc4.17',
  'libxentoolcore1',
  'libxentoollog1',
  'libxtables12',
  'libxxhash0',
  'libzstd1',
  'zlib1g',
]

/** Second names of programs; kmod, mtools and udevadm act by the name they are called. */
export const LINKS: Readonly<Record<string, string>> = {
  bin: 'usr/bin',
  lib: 'usr/lib',
  lib64: 'usr/lib64',
  sbin: 'usr/sbin',
  'etc/mtab': '/proc/self/mounts',
  'usr/bin/mattrib': 'mtools',
  'usr/bin/mcopy': 'mtools',
  'usr/bin/mdel': 'mtools',
  'usr/bin/mdeltree': 'mtools',
  'usr/bin/mdir': 'mtools',
  'usr/bin/minfo': 'mtools',
  'usr/bin/mmd': 'mtools',
  'usr/bin/mtype': 'mtools',
  'usr/lib/systemd/systemd-udevd': '../../bin/udevadm',
  'usr/sbin/depmod': '../bin/kmod',
  'usr/sbin/insmod': '../bin/kmod',
  'usr/sbin/lsmod': '../bin/kmod',
  'usr/sbin/mkfs.ext2': 'mke2fs',
  'usr/sbin/mkfs.ext3': 'mke2fs',
  'usr/sbin/mkfs.ext4': 'mke2fs',
  'usr/sbin/mkfs.vfat': 'mkfs.fat',
  'usr/sbin/modinfo': '../bin/kmod',
  'usr/sbin/modprobe': '../bin/kmod',
  'usr/sbin/rmmod': '../bin/kmod',
}

/** Applets of BusyBox that live in sbin; the others go to bin. Real programs of the same name win. */
export const SBIN_APPLETS: readonly string[] = [
  'getty',
  'halt',
  'init',
  'poweroff',
  'reboot',
  'switch_root',
  'sysctl',
]

/** Folders that must be there though nothing lies in them. */
export const FOLDERS: readonly string[] = [
  'dev',
  'etc/dropbear',
  // rescue is refused where it is missing (contract 5.7)
  'etc/ipa-rescue-config',
  'etc/ironic-python-agent',
  'etc/ironic-python-agent.d',
  'home',
  'mnt',
  'mnt/config',
  'proc',
  'root',
  'run',
  'sys',
  'tmp',
  'var/empty',
  'var/lib/containers',
  'var/lib/dhcpcd',
  'var/log',
  'var/tmp',
]
