// SPDX-License-Identifier: Apache-2.0
// Owns `make instance-image`: build/instance-image.raw with its sha256 and its list of ingredients beside
// it; built once, again when a recipe changes. Where a bootable image cannot be built it says why, in one
// line, and takes a generated image of the same size. With `small` as its argument it makes
// build/instance-image-small.raw: the same system with next to nothing in its root, for slow machines.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { missingPackages } from '../test/support/packages.ts'
import { makeBootableDisk } from './bootable-disk.ts'
import {
  type DebianPackage,
  downloadPackages,
  firstDependency,
  resolvePackages,
  unpackPackages,
} from './debian-packages.ts'
import { makeGeneratedImage } from './generated-image.ts'
import { runProgram } from './program.ts'

const PROJECT = join(import.meta.dirname, '..')
const BUILD = join(PROJECT, 'build')
const MiB = 1024 * 1024

/** Beside kernel and BusyBox: what fills a root file system, so that the image compresses like a real one. */
const ROOT_PACKAGES = [
  'base-files',
  'bash',
  'busybox-static',
  'ca-certificates',
  'coreutils',
  'findutils',
  'grep',
  'libc-bin',
  'libc6',
  'openssl',
  'perl-base',
  'sed',
  'tar',
  'util-linux',
]

interface Variant {
  /** Outputs are build/<name>.raw, .raw.sha256 and .json. */
  readonly name: string
  readonly sizeBytes: number
  readonly packages: readonly string[]
  /** Whether the largest package file stays in the root's cache: content that does not compress. */
  readonly keepsPackage: boolean
  /** Folders of the packages that the root goes without. */
  readonly leftOut: readonly string[]
}

const USUAL: Variant = {
  name: 'instance-image',
  sizeBytes: 256 * MiB,
  packages: ROOT_PACKAGES,
  keepsPackage: true,
  leftOut: [],
}
const SMALL: Variant = {
  name: 'instance-image-small',
  sizeBytes: 64 * MiB,
  packages: ['base-files', 'busybox-static'],
  keepsPackage: false,
  // the drivers it needs are in its initramfs
  leftOut: ['/boot', '/lib/modules', '/usr/share/doc'],
}

interface Manifest {
  readonly kind: 'bootable' | 'generated'
  readonly sizeBytes: number
  readonly sha256: string
  /** Hash of everything under image-build/ but the ramdisk: another recipe, another image. */
  readonly recipe: string
  readonly packages: readonly DebianPackage[]
}

/** Makes the image unless it is there; returns what it is. */
async function ensureImage(variant: Variant): Promise<Manifest> {
  const image = join(BUILD, `${variant.name}.raw`)
  const manifestFile = join(BUILD, `${variant.name}.json`)
  const { sizeBytes } = variant
  const recipe = await hashRecipes()
  const toolsMissing = missingPackages('instance-image')
  const known = await readManifest(image, manifestFile)
  const isBestPossible = known?.kind === 'bootable' || toolsMissing.length > 0
  if (known?.recipe === recipe && isBestPossible) return known
  const began = Date.now()
  await mkdir(BUILD, { recursive: true })
  const partial = `${image}.partial`
  let packages: readonly DebianPackage[] = []
  let kind: Manifest['kind'] = 'bootable'
  try {
    if (toolsMissing.length > 0) throw new Error(`${toolsMissing.join(' ')} not installed`)
    packages = await buildBootable(partial, variant)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    console.log(`instance-image: taking a generated image that does not boot: ${reason}`)
    kind = 'generated'
    packages = []
    await makeGeneratedImage(partial, sizeBytes)
  }
  const manifest = {
    kind,
    sizeBytes,
    sha256: await hashFile(partial),
    recipe,
    packages,
  }
  await rename(partial, image)
  await writeFile(`${image}.sha256`, `${manifest.sha256}  ${variant.name}.raw\n`)
  await writeFile(manifestFile, `${JSON.stringify(manifest, null, 2)}\n`)
  console.log(`instance-image: built in ${((Date.now() - began) / 1000).toFixed(1)} s`)
  return manifest
}

async function buildBootable(
  imagePath: string,
  variant: Variant,
): Promise<readonly DebianPackage[]> {
  const workFolder = join(BUILD, `${variant.name}.work`)
  await rm(workFolder, { recursive: true, force: true })
  await mkdir(workFolder, { recursive: true })
  try {
    // the lists of a fresh machine come with this call
    await resolvePackages(['busybox-static'])
    const kernel = await firstDependency('linux-image-cloud-amd64')
    const packages = await resolvePackages([...variant.packages, kernel].sort())
    const debPaths = await downloadPackages(packages, join(BUILD, 'debian'))
    const unpacked = join(workFolder, 'root')
    await unpackPackages(debPaths, unpacked)
    // as apt leaves it: the largest package file stays in the root's cache, content that does not compress
    const kept = debPaths.filter(
      (path) => variant.keepsPackage && basename(path).startsWith(`${kernel}_`),
    )
    await makeBootableDisk(imagePath, {
      unpacked,
      debPaths: kept,
      workFolder,
      sizeBytes: variant.sizeBytes,
      leftOut: variant.leftOut,
    })
    return packages
  } finally {
    await rm(workFolder, { recursive: true, force: true })
  }
}

async function readManifest(image: string, file: string): Promise<Manifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest
    return (await stat(image)).size === manifest.sizeBytes ? manifest : undefined
  } catch {
    return undefined
  }
}

async function hashRecipes(): Promise<string> {
  const hash = createHash('sha256')
  const names = await readdir(import.meta.dirname, { recursive: true, withFileTypes: true })
  const paths = names
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name))
    .filter((path) => !path.startsWith(join(import.meta.dirname, 'ramdisk/')))
  for (const path of paths.sort())
    hash.update(path.slice(PROJECT.length)).update(await readFile(path))
  return hash.digest('hex')
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    hash.update(bytes)
  return hash.digest('hex')
}

await runProgram('instance-image', async () => {
  const variant = process.argv[2] === 'small' ? SMALL : USUAL
  const image = await ensureImage(variant)
  console.log(
    `instance-image: build/${variant.name}.raw, ${image.kind}, ${image.sizeBytes / MiB} MiB, sha256 ${image.sha256}`,
  )
})
