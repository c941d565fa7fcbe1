// SPDX-License-Identifier: Apache-2.0
// Owns `make ramdisk`: kernel and initramfs with their sums and bills of materials under build/.
//
//   RAMDISK=vm          the small one, with drivers of virtual machines only
//   SSH_KEY='ssh-… …'   a key that may log in as root (or the path of a file that holds it)
//   HARDWARE_MANAGERS=… a folder of hardware managers that goes along
//   BURN_IN=1           takes fio and stress-ng along
//   PODMAN=1            takes podman along, for container steps and bootable containers
//   MSTFLINT=1          takes mstflint along, for firmware of Nvidia NICs
//   NAME=…              what the outputs in build/ are called
//   FAST=1              compress quickly: larger, same content
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { constants, zstdCompressSync } from 'node:zlib'
import { type CpioEntry, directory, file, makeCpio } from '../cpio.ts'
import {
  type DebianPackage,
  downloadPackages,
  firstDependency,
  resolvePackages,
  unpackPackages,
} from '../debian-packages.ts'
import { findKernel } from '../instance-files.ts'
import { runProgram } from '../program.ts'
import { IMAGE_EPOCH_SECONDS } from '../run.ts'
import { addAgent, addHardwareManagers, type BundledPackage } from './agent-bundle.ts'
import { librariesOf, programsOf } from './contents.ts'
import { type ModuleSet, selectModules } from './modules.ts'
import { makeNodeProgram } from './node-program.ts'
import { makeRootTree } from './root-tree.ts'
import { makeSbom } from './sbom.ts'
import { type RamdiskSettings, readRamdiskSettings } from './settings.ts'
import { makeSquashfs } from './squashfs.ts'
import { createTree, type Tree } from './tree.ts'
import type { Variant } from './variants.ts'

const PROJECT = join(import.meta.dirname, '../..')
const BUILD = join(PROJECT, 'build')
const CACHE = join(BUILD, 'ramdisk-cache')

/** What the first program loads before it can mount the root. */
const FIRST_MODULES = ['loop', 'squashfs', 'overlay']
/** Larger ones save size, smaller ones save reading what a page fault does not ask for (docs/design/100-ramdisk.md). */
const BLOCK_BYTES = 256 * 1024

async function buildRamdisk({
  variant,
  isFast,
  sshKeys,
  hardwareManagers,
}: RamdiskSettings): Promise<void> {
  const began = performance.now()
  const workFolder = join(BUILD, `${variant.prefix}.work`)
  await rm(workFolder, { recursive: true, force: true })
  await mkdir(workFolder, { recursive: true })
  try {
    const { debian, folders, kernelFolder } = await fetchPackages(variant)
    const release = await onlyName(join(kernelFolder, 'lib/modules'))
    const modules = await selectModules(kernelFolder, release, [
      ...FIRST_MODULES,
      ...variant.modules,
    ])
    const level = isFast ? 3 : 19
    const options = { level, blockBytes: BLOCK_BYTES }
    const node = await makeNodeProgram(PROJECT, CACHE)
    const root = await makeRootTree({
      packages: folders,
      modules,
      variant,
      nodePath: node.path,
      sshKeys,
      workFolder,
    })
    const agent = createTree()
    const npm = await addAgent(agent, PROJECT)
    if (hardwareManagers !== undefined) await addHardwareManagers(agent, hardwareManagers)
    const initramfs = await makeInitramfs(modules, folders.get('busybox-static') ?? '', {
      'base.squashfs': await makeSquashfs(root, CACHE, options),
      'agent.squashfs': await makeSquashfs(agent, CACHE, options),
    })
    const version = await projectVersion()
    const kernel = await readFile(await findKernel(kernelFolder))
    const kernelPackages = debian.filter(({ name }) => name.startsWith('linux-image-'))
    await writeOutput(`${variant.prefix}.kernel`, kernel, {
      version,
      debian: kernelPackages,
      npm: [],
    })
    const used = usedPackages(root, folders)
    await writeOutput(`${variant.prefix}.initramfs`, initramfs, {
      version,
      debian: debian.filter(({ name }) => used.has(name)).concat(kernelPackages),
      npm: [...npm, node.package],
    })
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    const sizes = [kernel, initramfs].map(({ length }) => (length / 1e6).toFixed(1))
    console.log(
      `ramdisk: build/${variant.prefix}.kernel ${sizes[0]} MB, build/${variant.prefix}.initramfs ${sizes[1]} MB, in ${seconds} s`,
    )
  } finally {
    await rm(workFolder, { recursive: true, force: true })
  }
}

interface Fetched {
  readonly debian: readonly DebianPackage[]
  /** Unpacked, by name; without the kernel's. */
  readonly folders: ReadonlyMap<string, string>
  readonly kernelFolder: string
}

async function fetchPackages(variant: Variant): Promise<Fetched> {
  // the lists of a fresh machine come with this call
  await resolvePackages(['busybox-static'])
  const kernel = await firstDependency(variant.kernelPackage)
  const names = [...new Set([...Object.keys(programsOf(variant)), ...librariesOf(variant)])].sort()
  const debian = await resolvePackages([...names, kernel])
  const paths = await downloadPackages(debian, join(BUILD, 'debian'))
  const folders = new Map<string, string>()
  for (const [i, { name, sha256 }] of debian.entries()) {
    folders.set(name, await unpacked(paths[i] as string, `${name}-${sha256.slice(0, 16)}`))
  }
  const kernelFolder = folders.get(kernel) as string
  folders.delete(kernel)
  return { debian, folders, kernelFolder }
}

/** Those that a file of the tree is from; BusyBox goes in by the first program. */
function usedPackages(tree: Tree, folders: ReadonlyMap<string, string>): Set<string> {
  const sources = tree
    .entries()
    .flatMap(([, node]) =>
      node.kind === 'file' && typeof node.source === 'string' ? [node.source] : [],
    )
  const used = [...folders].filter(([, folder]) =>
    sources.some((source) => source.startsWith(`${folder}/`)),
  )
  return new Set(['busybox-static', ...used.map(([name]) => name)])
}

/** The folder a package was unpacked to, now or by an earlier build. */
async function unpacked(packagePath: string, key: string): Promise<string> {
  const folder = join(CACHE, 'unpacked', key)
  if (existsSync(folder)) return folder
  const partial = `${folder}.${process.pid}`
  await unpackPackages([packagePath], partial)
  await rename(partial, folder)
  return folder
}

async function onlyName(folder: string): Promise<string> {
  const [name] = await readdir(folder)
  if (name === undefined) throw new Error(`${folder} is empty`)
  return name
}

async function projectVersion(): Promise<string> {
  return JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8')).version
}

/**
 * The archives the kernel unpacks, one after the other: the first program and its drivers, compressed,
 * and the images it mounts, which are compressed already.
 */
async function makeInitramfs(
  modules: ModuleSet,
  busyboxFolder: string,
  images: Readonly<Record<string, string>>,
): Promise<Buffer> {
  const order = [...new Set(FIRST_MODULES.flatMap((name) => modules.loadOrder(name)))]
  const names = order.map((path) => path.split('/').at(-1) as string)
  const first: CpioEntry[] = [
    ...['agent', 'base', 'bin', 'dev', 'memory', 'modules', 'proc', 'root', 'sys'].map(directory),
    // the kernel opens /dev/console before anything mounts /dev
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    file('bin/busybox', await readFile(join(busyboxFolder, 'bin/busybox')), 0o100755),
    file('init', await readFile(join(import.meta.dirname, 'init')), 0o100755),
    file('modules/order', Buffer.from(names.map((name) => `${name}\n`).join(''))),
  ]
  for (const [i, path] of order.entries()) {
    first.push(file(`modules/${names[i]}`, await readFile(join(modules.folder, path))))
  }
  const second: CpioEntry[] = []
  for (const [name, path] of Object.entries(images)) second.push(file(name, await readFile(path)))
  const level = { params: { [constants.ZSTD_c_compressionLevel]: 19 } }
  const compressed = zstdCompressSync(makeCpio(first, IMAGE_EPOCH_SECONDS), level)
  // an archive begins at a multiple of 4 (early-userspace/buffer-format)
  const padding = Buffer.alloc((4 - (compressed.length % 4)) % 4)
  return Buffer.concat([compressed, padding, makeCpio(second, IMAGE_EPOCH_SECONDS)])
}

async function writeOutput(
  name: string,
  content: Buffer,
  parts: { version: string; debian: readonly DebianPackage[]; npm: readonly BundledPackage[] },
): Promise<void> {
  const sha256 = createHash('sha256').update(content).digest('hex')
  const path = join(BUILD, name)
  await writeFile(`${path}.partial`, content)
  await rename(`${path}.partial`, path)
  await writeFile(`${path}.sha256`, `${sha256}  ${name}\n`)
  await writeFile(`${path}.cdx.json`, makeSbom({ name, sha256, ...parts }))
}

await runProgram('ramdisk', async () => await buildRamdisk(await readRamdiskSettings(process.env)))
