// SPDX-License-Identifier: Apache-2.0
// Owns which kernel modules go into the ramdisk: those of the variant and all that they need, by
// depmod's own list. Does not load them; udev does, by modalias.
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { run } from '../run.ts'

export interface ModuleSet {
  /** As `uname -r` says it. */
  readonly release: string
  /** Folder that holds kernel/ and the modules.* lists. */
  readonly folder: string
  /** Paths below `folder`, sorted. */
  readonly paths: readonly string[]
  /** A module's own path after those it needs; empty if it is built in or not there. */
  loadOrder(name: string): string[]
}

/** The modules of `wanted` (names, or folders below kernel/) and all they depend on. */
export async function selectModules(
  unpacked: string,
  release: string,
  wanted: readonly string[],
): Promise<ModuleSet> {
  const folder = join(unpacked, 'lib/modules', release)
  await run(['depmod', '-b', unpacked, release])
  const needs = parseModulesDep(await readFile(join(folder, 'modules.dep'), 'utf8'))
  const byName = new Map([...needs.keys()].map((path) => [moduleName(path), path]))
  const paths = new Set<string>()
  for (const word of wanted) {
    const found = word.includes('/') ? inFolder(needs, word) : [byName.get(normalized(word))]
    for (const path of found) {
      if (path === undefined) continue
      paths.add(path)
      for (const needed of needs.get(path) ?? []) paths.add(needed)
    }
  }
  return {
    release,
    folder,
    paths: [...paths].sort(),
    loadOrder: (name) => {
      const path = byName.get(normalized(name))
      // modules.dep names what is needed last first
      return path === undefined ? [] : [...(needs.get(path) ?? []).toReversed(), path]
    },
  }
}

/** Lines `path: path path`, depmod(8); the right side is already the whole closure. */
export function parseModulesDep(text: string): Map<string, string[]> {
  const needs = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const at = line.indexOf(':')
    if (at > 0)
      needs.set(
        line.slice(0, at),
        line
          .slice(at + 1)
          .split(' ')
          .filter(Boolean),
      )
  }
  return needs
}

function inFolder(needs: ReadonlyMap<string, unknown>, prefix: string): string[] {
  return [...needs.keys()].filter((path) => path.startsWith(`kernel/${prefix}`))
}

function moduleName(path: string): string {
  return normalized(basename(path).replace(/\.ko(\.\w+)?$/, ''))
}

/** The kernel takes `-` and `_` for the same. */
function normalized(name: string): string {
  return name.replaceAll('-', '_')
}
