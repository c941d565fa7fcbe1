// SPDX-License-Identifier: Apache-2.0
// Owns what lies in the ramdisk's root, but for the agent: programs and libraries of Debian packages,
// kernel modules, Node and the scripts of image-build/ramdisk/root.
import { existsSync, statSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../run.ts'
import { FOLDERS, LINKS, programsOf, SBIN_APPLETS } from './contents.ts'
import { findLibraries } from './libraries.ts'
import type { ModuleSet } from './modules.ts'
import { createTree, directoryNode, fileNode, linkNode, type Tree, writeTree } from './tree.ts'
import type { Variant } from './variants.ts'

const OWN_FILES = join(import.meta.dirname, 'root')
const PRIVATE_FILES = ['etc/shadow', 'etc/sudoers']
const SETUID_PROGRAMS = ['usr/bin/sudo']
/** Where kernel modules say what they are; without these lists modprobe knows no alias. */
const MODULE_LISTS =
  /^modules\.(alias|builtin|builtin\.alias|builtin\.modinfo|dep|devname|softdep|symbols)(\.bin)?$/

export interface RootParts {
  /** Folder of each unpacked package, by name. */
  readonly packages: ReadonlyMap<string, string>
  readonly modules: ModuleSet
  readonly variant: Variant
  /** The program itself, stripped. */
  readonly nodePath: string
  /** Public key that may log in as root; none: no SSH server but in a rescue. */
  readonly sshKeys: string | undefined
  readonly workFolder: string
}

/** The root as a tree. Throws if a package does not hold what contents.ts takes from it. */
export async function makeRootTree(parts: RootParts): Promise<Tree> {
  const tree = createTree()
  for (const path of FOLDERS) tree.add(path, directoryNode())
  tree.add('root', directoryNode(0o700))
  tree.add('tmp', directoryNode(0o1777))
  const programs = await addPrograms(tree, parts)
  tree.add('usr/bin/node', fileNode(parts.nodePath, 0o755))
  const folders = [...parts.packages.values()]
  for (const [path, source] of await findLibraries([...programs, parts.nodePath], folders)) {
    tree.add(path, fileNode(source, 0o755))
  }
  tree.add(
    'usr/lib64/ld-linux-x86-64.so.2',
    linkNode('../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'),
  )
  for (const [path, target] of Object.entries(LINKS)) tree.add(path, linkNode(target))
  await addModules(tree, parts)
  await addOwnFiles(tree, parts.sshKeys)
  if (parts.variant.hasPodman) {
    await addCertificates(tree, parts.packages.get('ca-certificates') ?? '')
  }
  await addApplets(tree, parts.packages.get('busybox-static') ?? '')
  return tree
}

/** Adds them and returns those that may need libraries, as files of the build machine. */
async function addPrograms(tree: Tree, { packages, variant }: RootParts): Promise<string[]> {
  const wanted = Object.entries(programsOf(variant)).flatMap(([name, paths]) =>
    paths.map((path) => filesAt(packages.get(name) ?? '', path)),
  )
  const files = (await Promise.all(wanted)).flat()
  for (const [path, source] of files) tree.add(path, fileNode(source, modeOf(path)))
  return files.filter(([path]) => isProgram(path)).map(([, source]) => source)
}

/** By place, not by the mode on the build machine: an unprivileged unpacking may have lost bits. */
function isProgram(path: string): boolean {
  return /\/(s?bin|security|multipath|podman)\/|\/udev\/\w+$|run-hooks$|\.so$/.test(path)
}

function modeOf(path: string): number {
  if (SETUID_PROGRAMS.includes(path)) return 0o4755
  return isProgram(path) ? 0o755 : 0o644
}

/** Debian packages of this release still ship /bin/x and /usr/bin/x; the ramdisk has one of them. */
async function filesAt(folder: string, wanted: string): Promise<[string, string][]> {
  const candidates = [wanted, wanted.replace(/^usr\//, '')].map((path) => join(folder, path))
  const found = candidates.find((path) => existsSync(path))
  if (!found) throw new Error(`${basename(folder)} holds no ${wanted}`)
  if (!statSync(found).isDirectory()) return [[wanted, found]]
  const names = await readdir(found, { recursive: true })
  return names
    .filter((name) => statSync(join(found, name)).isFile())
    .map((name): [string, string] => [join(wanted, name), join(found, name)])
}

async function addModules(tree: Tree, { modules, variant, workFolder }: RootParts) {
  const folder = `usr/lib/modules/${modules.release}`
  // depmod's lists must speak of the modules that are there, not of the whole package
  const staged = createTree()
  for (const path of modules.paths) {
    staged.add(`lib/modules/${modules.release}/${path}`, fileNode(join(modules.folder, path)))
  }
  for (const name of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo']) {
    staged.add(`lib/modules/${modules.release}/${name}`, fileNode(join(modules.folder, name)))
  }
  const base = join(workFolder, 'modules')
  await writeTree(staged, base)
  await run(['depmod', '-b', base, modules.release])
  for (const path of modules.paths) {
    tree.add(`${folder}/${path}`, fileNode(join(modules.folder, path)))
  }
  const lists = join(base, 'lib/modules', modules.release)
  for (const name of await readdir(lists)) {
    if (!MODULE_LISTS.test(name)) continue
    tree.add(`${folder}/${name}`, fileNode(await readFile(join(lists, name))))
  }
  const atBoot = variant.loadedAtBoot.filter((name) => modules.loadOrder(name).length > 0)
  for (const [name, words] of Object.entries({ coldplug: variant.coldplug, modules: atBoot })) {
    const lines = words.map((word) => `${word}\n`).join('')
    tree.add(`usr/lib/ironswarm/${name}`, fileNode(Buffer.from(lines)))
  }
}

async function addOwnFiles(tree: Tree, sshKeys: string | undefined): Promise<void> {
  for (const name of (await readdir(OWN_FILES, { recursive: true })).sort()) {
    const source = join(OWN_FILES, name)
    if (!(await stat(source)).isFile()) continue
    const isScript = (await readFile(source, 'utf8')).startsWith('#!')
    const mode = PRIVATE_FILES.includes(name) ? 0o600 : isScript ? 0o755 : 0o644
    tree.add(name, fileNode(await readFile(source), mode))
  }
  if (sshKeys === undefined) return
  tree.add('root/.ssh', directoryNode(0o700))
  tree.add('root/.ssh/authorized_keys', fileNode(Buffer.from(`${sshKeys}\n`), 0o600))
}

/** Whom podman trusts, in the one file that programs written in Go look for first. */
async function addCertificates(tree: Tree, packageFolder: string): Promise<void> {
  const folder = join(packageFolder, 'usr/share/ca-certificates/mozilla')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.crt')).sort()
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  tree.add('etc/ssl/certs/ca-certificates.crt', fileNode(Buffer.from(texts.join(''))))
}

/** A link for every applet whose name no real program has. */
async function addApplets(tree: Tree, busyboxFolder: string): Promise<void> {
  const { stdout } = await run([join(busyboxFolder, 'bin/busybox'), '--list'])
  for (const applet of stdout.split('\n').filter((word) => word !== '' && word !== 'busybox')) {
    if (tree.has(`usr/bin/${applet}`) || tree.has(`usr/sbin/${applet}`)) continue
    const isSbin = SBIN_APPLETS.includes(applet)
    tree.add(
      isSbin ? `usr/sbin/${applet}` : `usr/bin/${applet}`,
      linkNode(isSbin ? '../bin/busybox' : 'busybox'),
    )
  }
}
