// SPDX-License-Identifier: Apache-2.0
// Owns what a recorded machine is made of, and laying its files out in a folder. Does not know any machine (catalog.ts).
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Content by absolute path; text that begins with `-> ` is a symbolic link's target. */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** A network interface as the kernel tells of it by netlink and ethtool, which no file holds. */
export interface Link {
  readonly name: string
  /** As it is now. */
  readonly address: string
  /** As the hardware was made; a driver may know none. */
  readonly permanentAddress?: string
  readonly ipv4?: string
  /** In the kernel's order; link-local ones begin with `fe80:`. */
  readonly ipv6?: readonly string[]
  /** As ethtool names them: `1000baseT/Full`. */
  readonly modes?: readonly string[]
  /** Of the link, Mbit/s; none without a link. */
  readonly speed?: number
}

/** What programs print that ask hardware for what no file holds: by command line, exit code 0. Any other line fails. */
export type Answers = Readonly<Record<string, string>>

export interface RecordedMachine {
  readonly name: string
  /** Half a sentence. */
  readonly what: string
  readonly files: Files
  /** `b 8:0` by path: what stat(2) says of them. Nothing can be read from them. */
  readonly nodes: Readonly<Record<string, string>>
  readonly links: readonly Link[]
  readonly answers: Answers
  readonly kernelCommandLine: string
  readonly hostname: string
}

/** Parts of a machine in one; later ones win. */
export function together(...parts: readonly Files[]): Files {
  return Object.assign({}, ...parts)
}

/** Files that are written at once. */
const AT_ONCE = 64

async function make(path: string, content: string | Uint8Array): Promise<void> {
  const link = typeof content === 'string' && content.startsWith('-> ') ? content.slice(3) : null
  await (link === null ? writeFile(path, content) : symlink(link, path))
}

/** All that can be seen of it from outside; a node is an empty file. */
export function visibleFiles({
  files,
  nodes,
  kernelCommandLine,
  hostname,
}: RecordedMachine): Files {
  return {
    ...files,
    ...Object.fromEntries(Object.keys(nodes).map((path) => [path, ''])),
    '/proc/cmdline': `${kernelCommandLine}\n`,
    '/proc/sys/kernel/hostname': `${hostname}\n`,
  }
}

/** @throws Error where a path is a folder and a file at once */
export async function layOut(files: Files, folder: string): Promise<void> {
  const folders = new Set(Object.keys(files).map((path) => dirname(join(folder, path))))
  for (const each of folders) await mkdir(each, { recursive: true })
  const rest = Object.entries(files)
  while (rest.length > 0) {
    await Promise.all(
      rest.splice(0, AT_ONCE).map(([path, content]) => make(join(folder, path), content)),
    )
  }
}
