// SPDX-License-Identifier: Apache-2.0
// Owns the root trees of Debian releases that have an Ironic or an ironic-python-agent of their own: which version a
// release has today, and the tree with it, unpacked from its packages and kept by version. Nothing is installed and no
// script of a package is run. Does not run what is in it: program.ts and test/support/machines do.
//
//   node test/support/ironic/release-tree.ts 29|35|newest|trixie|forky|sid [ironic|agent]
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../../../image-build/run.ts'
import { PACKAGE_SETS } from '../packages.ts'
import { type Apt, createApt } from './release-apt.ts'
import { isReleaseName, majorOf, RELEASES, type Release, suiteOf } from './release-names.ts'

const FOLDER = join(import.meta.dirname, '../../../build/ironic')
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
 * The tree of what a release has now, made if it is not there yet; `build/ironic/NAME` leads to it, or `build/ironic/NAME-agent`.
 * Where the package lists cannot be loaded, or no release has that version any more, the newest such tree that is there.
 * @param name of a release, a first number of a version, or `newest`
 * @throws Error where there is none, or it cannot be made
 */
export async function releaseTree(name: string, part: TreePart): Promise<string> {
  await mkdir(FOLDER, { recursive: true })
  const { packages, suffix } = PARTS[part]
  const aptOf = (release: Release) => createApt(join(FOLDER, `apt-${release}`), release)
  const versionIn = async (release: Release) => (await aptOf(release)).versionOf(packages[0])
  const found = await suiteOf(name, versionIn).catch(async (error: unknown) => {
    const known = await keptTree(name, suffix)
    if (known === undefined) throw error
    console.log(`ironic: no news of ${name} (${(error as Error).message}), taking ${known}`)
    return known
  })
  const isTree = typeof found === 'string'
  const tree = join(FOLDER, isTree ? found : `${found.release}${suffix}_${found.version}`)
  if (!isTree) {
    console.log(`ironic: ${name} is ${found.release} today, with ${found.version}`)
    if (!existsSync(tree)) await makeTree(await aptOf(found.release), tree, part)
  }
  const link = join(FOLDER, `${name}${suffix}`)
  await rm(link, { force: true })
  await symlink(basename(tree), link)
  return tree
}

/** Of that release, or of that version in any. */
async function keptTree(name: string, suffix: string): Promise<string | undefined> {
  const trees = (await readdir(FOLDER)).filter((tree) => !tree.endsWith(PARTIAL)).sort()
  return trees.findLast((tree) => {
    const [start = '', version] = tree.split('_')
    const release = RELEASES.find((each) => start === `${each}${suffix}`)
    if (release === undefined || version === undefined) return false
    return name === release || name === majorOf(version) || (name === 'newest' && release === 'sid')
  })
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

if (import.meta.main) {
  const [name = '', part = 'ironic', ...others] = process.argv.slice(2)
  try {
    if (others.length > 0 || !isReleaseName(name) || !(part in PARTS)) {
      const names = ['VERSION', 'newest', ...RELEASES].join('|')
      throw new Error(`usage: release-tree.ts ${names} [${Object.keys(PARTS).join('|')}]`)
    }
    if (process.getuid?.() !== 0) throw new Error('to enter a root tree one has to be root')
    console.log(`ironic: ${await releaseTree(name, part as TreePart)}`)
  } catch (error) {
    console.error(`ironic: ${(error as Error).message}`)
    process.exitCode = 1
  }
}
