// SPDX-License-Identifier: Apache-2.0
// Owns the root trees of Debian releases that have an Ironic or an ironic-python-agent of their own: which version a
// release has today, and the tree with it, unpacked from its packages and kept by version. Nothing is installed and no
// script of a package is run. Does not run what is in it: program.ts and test/support/machines do.
//
//   node test/support/ironic/release-tree.ts trixie|forky|sid [ironic|agent]
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../../../image-build/run.ts'
import { PACKAGE_SETS } from '../packages.ts'

const FOLDER = join(import.meta.dirname, '../../../build/ironic')
const RELEASES = ['trixie', 'forky', 'sid'] as const
/** Debian 12's has the keys of all three. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
/** What a tree is made for: the package that gives it its version comes first. */
const PARTS = {
  ironic: { packages: ['ironic-api', ...PACKAGE_SETS.ironic.packages], megabytes: 450, suffix: '' },
  agent: {
    packages: ['ironic-python-agent', 'dmidecode', 'lshw', 'mawk', 'udev', 'util-linux'],
    megabytes: 1000,
    suffix: '-agent',
  },
} as const
export type TreePart = keyof typeof PARTS

/** What chroot and Ironic need and no package of theirs names: it is there on any Debian. */
const BASE = ['base-files', 'base-passwd', 'bash', 'coreutils', 'dash', 'libc-bin', 'python3']
const PARTIAL = '.partial'
const TIMEOUT_MS = 1_800_000

/** All packages into one tree; `$0` is the tree. What nobody reads here is a third of the files. */
const UNPACK = [
  'for package; do',
  '  dpkg-deb --fsys-tarfile "$package" | tar --extract --directory "$0" --keep-directory-symlink' +
    ' --exclude ./usr/share/doc --exclude ./usr/share/man --exclude ./usr/share/locale || exit',
  'done',
].join('\n')

/**
 * What scripts of packages leave behind, as far as Ironic and its agent ask for it: users, CAs, awk, and the list of
 * libraries, in which Python looks for libcrypt before a rescue; in the tree.
 */
const FINISH = [
  'for name in passwd group; do cp "usr/share/base-passwd/$name.master" "etc/$name"; done',
  'mkdir -p etc/ssl/certs',
  "find usr/share/ca-certificates -name '*.crt' -print0 | sort -z | xargs -0 cat > etc/ssl/certs/ca-certificates.crt",
  '[ ! -e usr/bin/mawk ] || ln -sf mawk usr/bin/awk',
  'ldconfig -r .',
].join('\n')

/**
 * The tree of what the release has now, made if it is not there yet; `build/ironic/RELEASE` leads to it, or
 * `build/ironic/RELEASE-agent`. Where the package lists cannot be loaded, the newest tree of the release that is there.
 * @throws Error where there is none, or it cannot be made
 */
export async function releaseTree(release: string, part: TreePart): Promise<string> {
  await mkdir(FOLDER, { recursive: true })
  const apt = await createApt(release)
  const name = `${release}${PARTS[part].suffix}`
  const version = await apt.versionOf(PARTS[part].packages[0]).catch(async (error: unknown) => {
    const known = await newestTree(name)
    if (known === undefined) throw error
    console.log(`ironic: no news of ${release} (${(error as Error).message}), taking ${known}`)
    return known
  })
  const tree = join(FOLDER, `${name}_${version}`)
  if (!existsSync(tree)) await makeTree(apt, tree, part)
  const link = join(FOLDER, name)
  await rm(link, { force: true })
  await symlink(basename(tree), link)
  return tree
}

async function newestTree(start: string): Promise<string | undefined> {
  const names = (await readdir(FOLDER)).filter((name) => name.startsWith(`${start}_`))
  const whole = names.filter((name) => !name.endsWith(PARTIAL)).sort()
  return whole.at(-1)?.slice(start.length + 1)
}

async function makeTree(apt: Apt, tree: string, part: TreePart): Promise<void> {
  const { packages: wanted, megabytes } = PARTS[part]
  console.log(`ironic: making ${basename(tree)}, some ${megabytes} MB`)
  const partial = tree + PARTIAL
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial)
  try {
    const packages = await apt.download([...wanted, ...BASE])
    const unpack = ['nice', 'bash', '-o', 'pipefail', '-c', UNPACK, partial, ...packages] as const
    await run(unpack, { timeoutMs: TIMEOUT_MS })
    await run(['bash', '-e', '-o', 'pipefail', '-c', FINISH], { cwd: partial })
    await rename(partial, tree)
  } finally {
    await rm(partial, { recursive: true, force: true })
    await apt.forgetPackages()
  }
}

/** apt for a machine of that release on which nothing is installed. Signatures are checked. */
interface Apt {
  /** After an update of the package lists. */
  versionOf(name: string): Promise<string>
  /** The package files of these and all they depend on. */
  download(names: readonly string[]): Promise<string[]>
  forgetPackages(): Promise<void>
}

/** Its lists stay beside the trees. It reaches the mirror as this machine's own apt does. */
async function createApt(release: string): Promise<Apt> {
  const state = join(FOLDER, `apt-${release}`)
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

if (import.meta.main) {
  const [release, part = 'ironic', ...others] = process.argv.slice(2)
  try {
    if (others.length > 0 || !RELEASES.some((one) => one === release) || !(part in PARTS)) {
      throw new Error(
        `usage: release-tree.ts ${RELEASES.join('|')} [${Object.keys(PARTS).join('|')}]`,
      )
    }
    if (process.getuid?.() !== 0) throw new Error('to enter a root tree one has to be root')
    console.log(`ironic: ${await releaseTree(release as string, part as TreePart)}`)
  } catch (error) {
    console.error(`ironic: ${(error as Error).message}`)
    process.exitCode = 1
  }
}
