// SPDX-License-Identifier: Apache-2.0
// Owns what lies inside of the instance image: the initramfs and the root file system, put together
// from unpacked Debian packages and the scripts of image-build/instance. Does not make file systems.
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { type CpioEntry, directory, file, makeCpio } from './cpio.ts'
import type { TreeEntry } from './ext4.ts'
import { IMAGE_EPOCH_SECONDS } from './run.ts'

const RECIPES = join(import.meta.dirname, 'instance')

/** Disks of virtual machines and the file systems of config drives. Absent ones are built into the kernel. */
const MODULES = [
  'virtio_pci',
  'virtio_blk',
  'virtio_scsi',
  'sd_mod',
  'ahci',
  'ata_piix',
  'isofs',
  'nls_cp437',
  'nls_ascii',
  'nls_iso8859-1',
  'vfat',
]

/** Files of the root that are ours, beside those of the packages. */
const OWN_FILES: Readonly<Record<string, string>> = {
  '/etc/passwd': 'root::0:0:root:/root:/bin/sh\n',
  '/etc/group': 'root:x:0:\n',
  '/etc/hostname': 'ironswarm-instance\n',
  '/etc/profile': 'export PATH=/run/busybox:/usr/sbin:/usr/bin:/sbin:/bin\n',
  '/etc/issue': 'ironswarm test instance \\l: log in as root, no password\n\n',
}

const OWN_LINKS: Readonly<Record<string, string>> = {
  '/bin/login': 'busybox', // getty's
  '/bin/sh': 'busybox',
  '/sbin/init': '/bin/busybox',
}

/** A recipe of image-build/instance with the root's UUID filled in. */
export async function recipe(name: string, rootUuid = ''): Promise<string> {
  const text = await readFile(join(RECIPES, name), 'utf8')
  return text.replaceAll('@ROOT_UUID@', rootUuid)
}

/** The kernel of the unpacked linux-image package. */
export async function findKernel(unpacked: string): Promise<string> {
  const names = await readdir(join(unpacked, 'boot'))
  const name = names.find((candidate) => candidate.startsWith('vmlinuz-'))
  if (!name) throw new Error('the kernel package holds no /boot/vmlinuz-*')
  return join(unpacked, 'boot', name)
}

/** BusyBox, the disk drivers and the script that finds the root; zstd-compressed. */
export async function makeInitramfs(unpacked: string): Promise<Buffer> {
  const modules = await readModules(join(unpacked, 'lib/modules'))
  const order = modules.map(({ name }) => `${name}\n`).join('')
  const entries: CpioEntry[] = [
    directory('bin'),
    directory('dev'),
    // the kernel opens /dev/console before anything mounts /dev
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    directory('modules'),
    file('bin/busybox', await readFile(join(unpacked, 'bin/busybox')), 0o100755),
    file('init', Buffer.from(await recipe('init')), 0o100755),
    file('modules/order', Buffer.from(order)),
    ...modules.map(({ name, content }) => file(`modules/${name}.ko`, content)),
  ]
  return zstdCompressSync(makeCpio(entries, IMAGE_EPOCH_SECONDS))
}

async function readModules(folder: string): Promise<{ name: string; content: Buffer }[]> {
  const paths = new Map<string, string>()
  for (const path of await readdir(folder, { recursive: true })) {
    if (path.endsWith('.ko')) paths.set(basename(path, '.ko'), join(folder, path))
  }
  if (paths.size === 0) throw new Error(`no uncompressed kernel modules under ${folder}`)
  // each module after those it depends on: the order in which insmod succeeds
  const ordered = new Map<string, Buffer>()
  const visit = async (name: string): Promise<void> => {
    const path = paths.get(name)
    if (path === undefined || ordered.has(name)) return
    const content = await readFile(path)
    for (const needed of dependenciesOf(content)) await visit(needed)
    ordered.set(name, content)
  }
  for (const name of MODULES) await visit(name)
  return [...ordered].map(([name, content]) => ({ name, content }))
}

/** The `depends=` of a module's .modinfo section. */
function dependenciesOf(module: Buffer): string[] {
  const list = /\0depends=([^\0]*)\0/.exec(module.toString('latin1'))?.[1] ?? ''
  return list.split(',').filter((name) => name !== '')
}

/** Everything in the root file system: the packages' files, the package files themselves, and ours. */
export async function listRoot(
  unpacked: string,
  debPaths: readonly string[],
  workFolder: string,
): Promise<TreeEntry[]> {
  const entries = new Map<string, TreeEntry>()
  for (const entry of await listTree(unpacked)) entries.set(entry.path, entry)
  const add = (entry: TreeEntry) => {
    ensureFolder(entries, dirname(entry.path))
    entries.set(entry.path, entry)
  }
  for (const path of debPaths) {
    add({ path: `/var/cache/apt/archives/${basename(path)}`, kind: 'file', source: path })
  }
  const own = { ...OWN_FILES, '/etc/inittab': await recipe('inittab') }
  for (const [path, content] of Object.entries(own)) {
    add({ path, kind: 'file', source: await keep(workFolder, path, content) })
  }
  const rc = await keep(workFolder, '/etc/rc', await recipe('rc'))
  add({ path: '/etc/rc', kind: 'file', source: rc, isExecutable: true })
  for (const [path, target] of Object.entries(OWN_LINKS)) {
    add({ path, kind: 'link', source: target })
  }
  for (const path of ['/dev', '/proc', '/root', '/run', '/sys', '/tmp']) ensureFolder(entries, path)
  // by component, so that a folder comes before its content and before its longer-named siblings
  return [...entries.values()].sort((a, b) => compareWords(a.path.split('/'), b.path.split('/')))
}

function ensureFolder(entries: Map<string, TreeEntry>, path: string): void {
  if (path === '/' || entries.has(path)) return
  ensureFolder(entries, dirname(path))
  entries.set(path, { path, kind: 'directory' })
}

async function keep(workFolder: string, path: string, content: string): Promise<string> {
  const kept = join(workFolder, 'own', path)
  await mkdir(dirname(kept), { recursive: true })
  await writeFile(kept, content)
  return kept
}

async function listTree(folder: string, prefix = ''): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = []
  for (const item of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = `${prefix}/${item.name}`
    const source = join(folder, path)
    if (item.isSymbolicLink()) {
      entries.push({ path, kind: 'link', source: await readlink(source) })
    } else if (item.isDirectory()) {
      entries.push({ path, kind: 'directory' }, ...(await listTree(folder, path)))
    } else if (item.isFile()) {
      entries.push({ path, kind: 'file', source, isExecutable: isProgram(path) })
    }
  }
  return entries
}

/** By place, not by the mode on the build machine: an unprivileged unpacking may have lost bits. */
function isProgram(path: string): boolean {
  return /\/(bin|sbin|lib|libexec|git-core)\//.test(path) && !/\.(ko|py|pl|pm|h|deb)$/.test(path)
}

function compareWords(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [left, right] = [a[i] as string, b[i] as string]
    if (left !== right) return left < right ? -1 : 1
  }
  return a.length - b.length
}
