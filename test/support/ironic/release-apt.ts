// SPDX-License-Identifier: Apache-2.0
// Owns asking a release of Debian for a version and for package files, by this machine's apt with a state of its own. Installs
// nothing.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../../image-build/run.ts'

/** Debian 12's has the keys of all releases up to sid. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const TIMEOUT_MS = 1_800_000

/** apt for a machine of that release on which nothing is installed. Signatures are checked. */
export interface Apt {
  /** After an update of the package lists. */
  versionOf(name: string): Promise<string>
  /** The package files of these and all they depend on. */
  download(names: readonly string[]): Promise<string[]>
  forgetPackages(): Promise<void>
}

/**
 * It reaches the mirror as this machine's own apt does.
 * @param state folder in which its lists stay
 */
export async function createApt(state: string, release: string): Promise<Apt> {
  const archives = join(state, 'cache/archives')
  for (const path of [join(state, 'lists/partial'), join(archives, 'partial')]) {
    await mkdir(path, { recursive: true })
  }
  const sources = join(state, 'sources.list')
  const status = join(state, 'status')
  await writeFile(sources, `deb [signed-by=${KEYRING}] ${await mirror()} ${release} main\n`)
  await writeFile(status, '')
  const settings = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'Dir::State::Lists': join(state, 'lists'),
    'Dir::State::status': status,
    'Dir::Cache': join(state, 'cache'),
    'Acquire::Languages': 'none',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    // Docker's images have apt remove what it has just downloaded
    'APT::Keep-Downloaded-Packages': 'true',
    'DPkg::Post-Invoke': '',
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const apt = async (...argv: [string, ...string[]]) =>
    (await run([...argv, ...flags], { timeoutMs: TIMEOUT_MS })).stdout
  return {
    versionOf: async (name) => {
      await apt('apt-get', 'update', '-qq', '--error-on=any')
      const shown = await apt('apt-cache', 'show', '--no-all-versions', name)
      const version = /^Version: (\S+)$/m.exec(shown)?.[1]
      if (version === undefined) throw new Error(`${release} has no ${name}`)
      return version
    },
    download: async (names) => {
      await apt('apt-get', 'install', '-qq', '-y', '--download-only', ...names)
      const files = (await readdir(archives)).filter((name) => name.endsWith('.deb')).sort()
      return files.map((name) => join(archives, name))
    },
    forgetPackages: () => rm(archives, { recursive: true, force: true }),
  }
}

/** Where this machine's packages come from. */
async function mirror(): Promise<string> {
  const wanted = ['Label: Debian', 'Created-By: Packages']
  const { stdout } = await run(['apt-get', 'indextargets', '--format', '$(REPO_URI)', ...wanted])
  const url = stdout.split('\n')[0]
  if (!url) throw new Error("apt knows no mirror of Debian's; run apt-get update")
  return url
}
