// SPDX-License-Identifier: Apache-2.0
// Owns finding a kernel by the names that distributions give it, where the image has no menu at all. Takes the newest with
// an initrd of the same version.
import { type BootEntry, cannotFollow } from './boot-entry.ts'
import type { MenuDisk } from './grub-menu/place.ts'
import { compareVersions } from './version-order.ts'

const KERNEL = /^(?:vmlinuz|vmlinux|kernel|Image)-(.+)$/
const INITRDS = [
  (version: string) => `initrd.img-${version}`,
  (version: string) => `initramfs-${version}.img`,
  (version: string) => `initrd-${version}`,
  (version: string) => `initrd-${version}.img`,
]
/** Kernels that nobody starts unless asked to. */
const NOT_DEFAULT = /rescue|recovery|\.old$|\.bak$/
const MOST_CMDLINE_BYTES = 16 * 1024

export interface NamedFileSystem {
  readonly partition: number
  readonly uuid: string | undefined
}

/** Undefined where no file system is a root with a kernel. Throws InvalidImage for one without a UUID to call it by. */
export async function findByNames(
  fileSystems: readonly NamedFileSystem[],
  disk: MenuDisk,
): Promise<BootEntry | undefined> {
  const root = await findRoot(fileSystems, disk)
  if (root === undefined) return undefined
  const places = [
    { partition: root.partition, path: '/boot' },
    ...fileSystems
      .filter(({ partition }) => partition !== root.partition)
      .map(({ partition }) => ({ partition, path: '' })),
  ]
  for (const { partition, path } of places) {
    const names = new Set(await disk.list({ partition, path: path || '/' }))
    const [newest] = [...names]
      .flatMap((name) => versionsOf(name, names))
      .sort((a, b) => -compareVersions(a.version, b.version))
    if (newest === undefined) continue
    return {
      title: newest.kernel,
      kernel: { partition, path: `${path}/${newest.kernel}` },
      initrds: [{ partition, path: `${path}/${newest.initrd}` }],
      commandLine: await commandLineOf(root, disk),
    }
  }
  return undefined
}

function versionsOf(name: string, names: ReadonlySet<string>) {
  const version = KERNEL.exec(name)?.[1]
  if (version === undefined || NOT_DEFAULT.test(version)) return []
  const initrd = INITRDS.map((nameOf) => nameOf(version)).find((each) => names.has(each))
  return initrd === undefined ? [] : [{ version, kernel: name, initrd }]
}

async function findRoot(fileSystems: readonly NamedFileSystem[], disk: MenuDisk) {
  for (const each of fileSystems) {
    for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
      if ((await disk.kindOf({ partition: each.partition, path })) === 'file') return each
    }
  }
  return undefined
}

/** kernel-install's own file; else the root alone. */
async function commandLineOf({ partition, uuid }: NamedFileSystem, disk: MenuDisk) {
  for (const path of ['/etc/kernel/cmdline', '/usr/lib/kernel/cmdline']) {
    const text = await disk.readText({ partition, path }, MOST_CMDLINE_BYTES)
    const words = text?.trim().replaceAll(/\s+/g, ' ')
    if (words) return words
  }
  if (uuid !== undefined && /^[\w-]+$/.test(uuid)) return `root=UUID=${uuid} ro`
  throw cannotFollow('there is no menu, and the root file system has no UUID to call it by')
}
