// SPDX-License-Identifier: Apache-2.0
// Owns the smallest root that runs shell scripts: BusyBox and what a test puts beside it. Not a Debian.
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface BusyboxRoot extends AsyncDisposable {
  readonly folder: string
  /** An absolute path of the root; programs are files that begin with `#!`. */
  put(path: string, content: string): Promise<void>
  /** What `path` is a link to. */
  link(path: string, target: string): Promise<void>
}

export async function createBusyboxRoot(
  files: Readonly<Record<string, string>> = {},
): Promise<BusyboxRoot> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-busybox-'))
  for (const name of ['bin', 'dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'usr/sbin', 'boot']) {
    await mkdir(join(folder, name), { recursive: true })
  }
  await cp('/bin/busybox', join(folder, 'bin/busybox'))
  const { stdout } = await run('busybox', ['--list'])
  for (const applet of stdout.trim().split('\n')) {
    if (applet !== 'busybox') await symlink('busybox', join(folder, 'bin', applet))
  }
  const put = async (path: string, content: string) => {
    await mkdir(join(folder, dirname(path)), { recursive: true })
    await writeFile(join(folder, path), content, { mode: content.startsWith('#!') ? 0o755 : 0o644 })
  }
  for (const [path, content] of Object.entries(files)) await put(path, content)
  return {
    folder,
    put,
    link: async (path, target) => {
      await rm(join(folder, path), { recursive: true, force: true })
      await symlink(target, join(folder, path))
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
