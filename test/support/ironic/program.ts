// SPDX-License-Identifier: Apache-2.0
// Owns which Ironic a rig starts: the one installed on this machine, or the one of a release's root tree
// (release-tree.ts) that IRONIC_TREE names, and the words that start its programs. Does not start them.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { hasPackages } from '../packages.ts'

export interface IronicProgram {
  /** As `39.0.0`; `?` where it is not installed. */
  readonly version: string
  /**
   * The words that run one of its programs, its arguments follow. The process they start becomes the program:
   * signals reach it, and its mounts end with it.
   * @param directory what it may read and write; it sees it at the same path
   */
  command(name: 'ironic' | 'ironic-dbsync', directory: string): readonly [string, ...string[]]
}

export const INSTALLED_IRONIC: IronicProgram = {
  version: installedVersion('/'),
  command: (name) => [`/usr/bin/${name}`],
}

/**
 * Goes into the tree with this machine's devices and processes and with `directory` mounted in it. The mounts
 * are private, as unshare makes them: they end with the command.
 */
const ENTER = [
  'set -e',
  'tree=$1 directory=$2',
  'shift 2',
  'for name in dev sys proc; do mount --rbind "/$name" "$tree/$name"; done',
  // what is made for the next line is not left in the tree
  'mount -t tmpfs none "$tree/tmp"',
  'mkdir -p "$tree$directory"',
  'mount --bind "$directory" "$tree$directory"',
  'exec chroot "$tree" "$@"',
].join('\n')

/** The programs of a root tree; starting one needs root. */
export function ironicOfTree(tree: string): IronicProgram {
  return {
    version: installedVersion(tree),
    command: (name, directory) => [
      ...(['unshare', '--mount', 'sh', '-c', ENTER, 'sh', tree, directory] as const),
      ...['env', 'LC_ALL=C.UTF-8', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', `/usr/bin/${name}`],
    ],
  }
}

const TREE = process.env['IRONIC_TREE']

/** The Ironic that tests drive the agent with. */
export const IRONIC_UNDER_TEST = TREE === undefined ? INSTALLED_IRONIC : ironicOfTree(TREE)

/**
 * True if it can be started; else prints why the caller's tests are skipped.
 * @throws Error where IRONIC_TREE names no tree with an Ironic: who asked for it must not get a skipped test
 */
export function hasIronicUnderTest(): boolean {
  if (TREE === undefined) return hasPackages('ironic')
  if (IRONIC_UNDER_TEST.version === '?') throw new Error(`IRONIC_TREE=${TREE} holds no Ironic`)
  return true
}

/** By the name of the folder that says to Python what is installed. */
function installedVersion(root: string): string {
  const packages = join(root, 'usr/lib/python3/dist-packages')
  const names = existsSync(packages) ? readdirSync(packages) : []
  const found = names.flatMap((name) => /^ironic-(\d[\w.]*)\.(?:dist|egg)-info$/.exec(name) ?? [])
  return found[1] ?? '?'
}
