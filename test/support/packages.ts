// SPDX-License-Identifier: Apache-2.0
// Owns the one list of Debian packages that build, tests and demo use, in named sets, and their
// installation. Does not decide what happens without them: callers skip or fall back, with the reason.
//
//   node test/support/packages.ts install agent interop
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'

interface PackageSet {
  readonly purpose: string
  readonly packages: readonly string[]
}

/** Named sets; a set names everything it needs, so that it can be installed alone. */
export const PACKAGE_SETS = {
  agent: {
    purpose: 'the tools the agent calls',
    packages: [
      'dmidecode',
      'dosfstools',
      'e2fsprogs',
      'efibootmgr',
      'fdisk',
      'gdisk',
      'genisoimage',
      'iproute2',
      'mount',
      'mtools',
      'parted',
      'pciutils',
      'tcpdump',
      'udev',
      'util-linux',
    ],
  },
  'disk-signatures': {
    purpose: 'what earlier tenants leave on disks',
    packages: ['btrfs-progs', 'cryptsetup-bin', 'e2fsprogs', 'lvm2'],
  },
  'burn-in': {
    purpose: 'what burns machines in',
    packages: ['fio', 'stress-ng', 'util-linux'],
  },
  'image-formats': {
    purpose: 'the programs that make and compare images of other formats',
    packages: ['bzip2', 'gzip', 'pigz', 'qemu-utils', 'tabix', 'xz-utils', 'zstd'],
  },
  'boot-loaders': {
    purpose: 'what runs the programs of an image, and images to run',
    packages: [
      'btrfs-progs',
      'busybox-static',
      'dosfstools',
      'e2fsprogs',
      'fdisk',
      'libcap2-bin',
      'mount',
      'mtools',
      'util-linux',
      'xfsprogs',
    ],
  },
  lldp: {
    purpose: 'what listens to switches, and what speaks like one',
    packages: ['iproute2', 'lldpd', 'tcpdump', 'util-linux'],
  },
  clock: {
    purpose: 'what sets clocks, and serves the time',
    packages: ['chrony', 'iproute2', 'util-linux'],
  },
  mdns: {
    purpose: 'what answers by multicast DNS',
    packages: ['avahi-daemon', 'iproute2', 'util-linux'],
  },
  browser: {
    purpose: 'a browser to look at pages with',
    packages: ['chromium', 'fonts-dejavu-core'],
  },
  metrics: {
    purpose: 'what checks metrics',
    packages: ['prometheus'],
  },
  registry: {
    purpose: 'a registry of containers',
    packages: ['docker-registry'],
  },
  'network-faults': {
    purpose: 'networks that lose packets',
    packages: ['iproute2', 'nftables', 'util-linux'],
  },
  interop: {
    purpose: 'other BitTorrent programs to deploy from, and a tracker',
    packages: ['aria2', 'mktorrent', 'opentracker', 'python3-libtorrent', 'transmission-cli'],
  },
  ironic: {
    purpose: 'a real Ironic to be driven by',
    packages: ['genisoimage', 'ironic-api', 'ironic-conductor'],
  },
  pages: {
    purpose: 'what the pages tell operators to call',
    packages: ['nftables', 'nginx', 'opentracker', 'python3-ironicclient', 'util-linux', 'zstd'],
  },
  'ironic-inspector': {
    purpose: 'a real ironic-inspector that Ironic 21.4 has machines inspected by',
    packages: ['python3-ironic-inspector'],
  },
  'ironic-release': {
    purpose: 'an Ironic of another Debian release to be driven by',
    packages: ['debian-archive-keyring', 'dpkg', 'util-linux'],
  },
  bench: {
    purpose: 'servers to load images from, and other programs to compare with',
    packages: [
      'aria2',
      'curl',
      'iproute2',
      'nginx',
      'opentracker',
      'python3-libtorrent',
      'transmission-cli',
    ],
  },
  'instance-image': {
    purpose: 'what the bootable test image is made with',
    packages: [
      'dosfstools',
      'e2fsprogs',
      'fdisk',
      'grub-common',
      'grub-efi-amd64-bin',
      'mtools',
      'syslinux',
      'syslinux-common',
      'xz-utils',
    ],
  },
  ramdisk: {
    purpose: 'what the ramdisk is made with',
    packages: [
      'binutils',
      'dosfstools',
      'grub-common',
      'grub-efi-amd64-bin',
      'isolinux',
      'kmod',
      'mtools',
      'squashfs-tools',
      'syslinux-common',
      'xorriso',
    ],
  },
  'npm-files': { purpose: 'what takes the symbols off Node', packages: ['binutils'] },
  packaging: {
    purpose: 'what packages are made and judged with',
    packages: [
      'bash-completion',
      'binutils',
      'dpkg',
      'iproute2',
      'lintian',
      'man-db',
      'mandoc',
      'systemd',
      'util-linux',
      'xz-utils',
      'zsh',
    ],
  },
  vm: {
    purpose: 'machines to boot images in, and their network',
    packages: [
      'dnsmasq-base',
      'dosfstools',
      'genisoimage',
      'iproute2',
      'ipxe',
      'ipxe-qemu',
      'mtools',
      'openipmi',
      'ovmf',
      'qemu-system-x86',
      'util-linux',
    ],
  },
} as const satisfies Record<string, PackageSet>

export type PackageSetName = keyof typeof PACKAGE_SETS

/** Packages of these sets that dpkg does not list as installed; all of them where there is no dpkg. */
export function missingPackages(...sets: readonly PackageSetName[]): string[] {
  const wanted = [...new Set<string>(sets.flatMap((set) => PACKAGE_SETS[set].packages))].sort()
  // dpkg-query exits 1 as soon as one name is unknown and still lists the others
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const { stdout } = run(['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n', ...wanted])
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  )
  return wanted.filter((name) => !installed.has(name))
}

/** True if the set is installed; else prints why the caller's tests are skipped. */
export function hasPackages(set: PackageSetName): boolean {
  const missing = missingPackages(set)
  if (missing.length === 0) return true
  console.log(
    `skipped: ${PACKAGE_SETS[set].purpose} not installed (${missing.join(' ')}); ` +
      `as root: node test/support/packages.ts install ${set}`,
  )
  return false
}

/** True where `install` can do something: root and apt-get. */
export function canInstall(): boolean {
  return process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')
}

/**
 * Installs what is missing of these sets, without starting any service.
 * @returns the packages that are still missing; why is printed, one line
 */
export function installPackages(...sets: readonly PackageSetName[]): string[] {
  const missing = missingPackages(...sets)
  if (missing.length === 0) return []
  const purpose = sets.map((set) => PACKAGE_SETS[set].purpose).join('; ')
  if (!canInstall()) {
    const reason = existsSync('/usr/bin/apt-get') ? 'not root' : 'no apt-get here'
    console.log(`packages: ${reason}, going on without ${missing.join(' ')} (${purpose})`)
    return missing
  }
  console.log(`packages: installing ${missing.join(' ')} (${purpose})`)
  const failure = withServicesHeldBack(() => aptInstall(missing))
  if (failure === undefined) return []
  console.log(`packages: apt-get failed, going on without: ${failure}`)
  return missingPackages(...sets)
}

/** Updates the lists once, then installs; a package that is not to be had must not keep the others out. */
function aptInstall(packages: readonly string[]): string | undefined {
  const updated = apt(['update'])
  const together = apt(['install', ...packages])
  if (together.ok) return undefined
  const alone = packages.map((name) => apt(['install', name])).find((result) => !result.ok)
  return alone === undefined ? undefined : (updated.reason ?? alone.reason)
}

function apt(args: readonly string[]): { ok: boolean; reason: string | undefined } {
  const { status, stdout, stderr } = run(
    ['apt-get', '-qq', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...args],
    { DEBIAN_FRONTEND: 'noninteractive' },
  )
  if (status === 0) return { ok: true, reason: undefined }
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => /^E: /.test(line))
  return { ok: false, reason: lines[0] ?? `apt-get ${args[0]} ended with ${status}` }
}

const POLICY = '/usr/sbin/policy-rc.d'

/** A policy of "101" (Debian policy 9.3.3) keeps services from starting; an existing one is left alone. */
function withServicesHeldBack<T>(work: () => T): T {
  if (existsSync(POLICY)) return work()
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    return work()
  } finally {
    rmSync(POLICY, { force: true })
  }
}

function run(argv: readonly [string, ...string[]], env: Record<string, string> = {}) {
  const [command, ...args] = argv
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 900_000,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...env },
  })
  return { status, stdout: stdout ?? '', stderr: stderr ?? '' }
}

function isSetName(name: string): name is PackageSetName {
  return name in PACKAGE_SETS
}

function main(args: readonly string[]): number {
  const [verb, ...names] = args
  const sets = names.filter(isSetName)
  if (verb !== 'install' || sets.length === 0 || sets.length < names.length) {
    const known = Object.keys(PACKAGE_SETS).join(' ')
    console.error(`usage: node test/support/packages.ts install SET...   (sets: ${known})`)
    return 2
  }
  installPackages(...sets)
  // what is still missing makes tests skip with a reason; it does not stop the others
  return 0
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
