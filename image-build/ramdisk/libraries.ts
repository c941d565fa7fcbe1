// SPDX-License-Identifier: Apache-2.0
// Owns which shared libraries programs need, by the ELF files themselves (not by ldd, which would answer
// with the build machine's libraries). Does not copy anything.
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../run.ts'

/** Where the dynamic linker of the ramdisk looks, and where packages put what is theirs alone. */
const FOLDERS = [
  'lib/x86_64-linux-gnu',
  'usr/lib/x86_64-linux-gnu',
  'lib64',
  'usr/libexec/sudo',
  // of multipath-tools
  'lib',
  // of fio
  'usr/lib/x86_64-linux-gnu/ceph',
]

/**
 * Everything `programs` need, and what that needs: path in the ramdisk to file on the build machine.
 * Throws if a library is in none of the packages.
 * @param packageFolders the unpacked packages
 */
export async function findLibraries(
  programs: readonly string[],
  packageFolders: readonly string[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  let queue = [...programs]
  while (queue.length > 0) {
    const names = await neededBy(queue)
    queue = []
    for (const [name, by] of names) {
      const hit = locate(name, packageFolders)
      if (!hit) throw new Error(`${name}, needed by ${by}, is in none of the ramdisk's packages`)
      if (found.has(hit.path)) continue
      found.set(hit.path, hit.source)
      queue.push(hit.source)
    }
  }
  return found
}

function locate(
  name: string,
  packageFolders: readonly string[],
): { path: string; source: string } | undefined {
  for (const folder of FOLDERS) {
    for (const packageFolder of packageFolders) {
      const source = join(packageFolder, folder, name)
      if (existsSync(source)) return { path: join(mergedUsr(folder), name), source }
    }
  }
  return undefined
}

/** Debian's merged /usr: /bin, /sbin and /lib are links into it. */
export function mergedUsr(path: string): string {
  return /^(bin|sbin|lib|lib64)(\/|$)/.test(path) ? `usr/${path}` : path
}

async function neededBy(files: readonly string[]): Promise<Map<string, string>> {
  const programs = files.filter(isElf)
  if (programs.length === 0) return new Map()
  // with one file only, readelf does not say which one it is
  const { stdout } = await run(['readelf', '-d', '-W', ...programs, programs[0] as string])
  const names = new Map<string, string>()
  let file = ''
  for (const line of stdout.split('\n')) {
    if (line.startsWith('File: ')) file = line.slice('File: '.length)
    const name = /\(NEEDED\).*\[(.+)\]/.exec(line)?.[1]
    if (name !== undefined && !names.has(name)) names.set(name, file)
  }
  return names
}

/** Scripts are programs too and need no libraries. */
function isElf(path: string): boolean {
  const fd = openSync(path, 'r')
  try {
    const magic = Buffer.alloc(4)
    readSync(fd, magic, 0, 4, 0)
    return magic.equals(Buffer.from('\x7fELF', 'latin1'))
  } finally {
    closeSync(fd)
  }
}
