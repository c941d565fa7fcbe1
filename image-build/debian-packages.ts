// SPDX-License-Identifier: Apache-2.0
// Owns fetching Debian packages as files and unpacking them, without installing anything: apt-get
// download (needs no root) and dpkg-deb -x. Keeps them in a folder, checked by apt's own sums.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './run.ts'

const BUILD = join(import.meta.dirname, '../build')

/** One package as apt would download it now. */
export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly fileName: string
  readonly sha256: string
}

/** What apt would download for these names; throws if apt knows one of them not. */
export async function resolvePackages(names: readonly string[]): Promise<DebianPackage[]> {
  const uris = ['apt-get', 'download', '--print-uris', '-qq', ...names] as const
  let listing = await run(uris).catch(() => undefined)
  if (listing === undefined) {
    // a fresh machine has no package lists yet
    await alone(['apt-get', 'update', '-qq'])
    listing = await run(uris)
  }
  return listing.stdout.split('\n').flatMap((line) => {
    const match = /^'\S+' (\S+)_(\S+)_(\S+)\.deb \d+ SHA256:([0-9a-f]{64})/.exec(line)
    if (!match) return []
    const [, name, version, architecture, sha256] = match as unknown as [string, ...string[]]
    return [
      {
        name: name as string,
        version: decodeURIComponent(version as string),
        fileName: `${name}_${version}_${architecture}.deb`,
        sha256: sha256 as string,
      },
    ]
  })
}

/** The package that a meta package such as linux-image-cloud-amd64 stands for today. */
export async function firstDependency(metaPackage: string): Promise<string> {
  const { stdout } = await run(['apt-cache', 'depends', '--no-recommends', metaPackage])
  const name = /^\s*Depends: (\S+)$/m.exec(stdout)?.[1]
  if (!name) throw new Error(`apt knows no package behind ${metaPackage}; run apt-get update`)
  return name
}

/** Downloads what is not in `folder` yet and returns the paths, in the order given. */
export async function downloadPackages(
  packages: readonly DebianPackage[],
  folder: string,
): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  const absent = []
  for (const one of packages) if (!(await isIntact(one, folder))) absent.push(one)
  if (absent.length > 0) {
    const exact = absent.map(({ name, version }) => `${name}=${version}`)
    const options = ['-qq', '-o', 'APT::Sandbox::User=root']
    await alone(['apt-get', 'download', ...options, ...exact], folder)
  }
  for (const one of absent) {
    if (!(await isIntact(one, folder))) {
      throw new Error(`${one.fileName} is not what apt's list says (SHA256 ${one.sha256})`)
    }
  }
  return packages.map(({ fileName }) => join(folder, fileName))
}

/** Unpacks into `folder`; files of later packages replace those of earlier ones. */
export async function unpackPackages(paths: readonly string[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const path of paths) await run(['dpkg-deb', '-x', path, folder])
}

/** One at a time in this checkout: two images may be built at once, and both want some packages. */
async function alone(argv: readonly string[], cwd = BUILD): Promise<void> {
  await mkdir(BUILD, { recursive: true })
  await run(['flock', join(BUILD, 'apt.lock'), ...argv], { cwd })
}

async function isIntact(one: DebianPackage, folder: string): Promise<boolean> {
  const path = join(folder, one.fileName)
  if (!existsSync(path)) return false
  return (
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex') === one.sha256
  )
}
