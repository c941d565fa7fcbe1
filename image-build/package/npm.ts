// SPDX-License-Identifier: Apache-2.0
// Owns the npm package: the same files in npm's places, and a manifest without dependencies, so that installing it needs no
// registry. Does not publish it.
import { mkdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createTree, fileNode, type TreeNode, writeTree } from '../ramdisk/tree.ts'
import { run } from '../run.ts'
import type { PackageTree } from './package-tree.ts'

/** Where a file of the tree lies in the package; the rest stays out. */
const PLACES: readonly [from: string, to: string][] = [
  ['usr/lib/ironswarm/', ''],
  ['usr/bin/', 'bin/'],
  ['usr/share/man/man1/', 'man/'],
  ['usr/share/man/man5/', 'man/'],
  ['usr/lib/systemd/system/', 'systemd/'],
  ['usr/share/bash-completion/completions/', 'completions/bash/'],
  ['usr/share/zsh/vendor-completions/', 'completions/zsh/'],
]

/** Writes `ironswarm-VERSION.tgz` below `folder` and returns its path. */
export async function makeNpmPackage(content: PackageTree, folder: string): Promise<string> {
  const project = join(import.meta.dirname, '../..')
  const work = join(folder, 'npm-package.work')
  await rm(work, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  try {
    const tree = createTree()
    const pages: string[] = []
    for (const [path, node] of content.tree.entries()) {
      const place = placeOf(path, node)
      if (place === undefined) continue
      tree.add(place, node)
      if (place.startsWith('man/')) pages.push(`./${place}`)
    }
    tree.add('LICENSE', fileNode(join(project, 'LICENSE')))
    tree.add('THIRD-PARTY-LICENSES', fileNode(Buffer.from(content.copyright)))
    tree.add('package.json', fileNode(Buffer.from(manifest(content.version, pages))))
    await writeTree(tree, work)
    const flags = ['--ignore-scripts', '--silent', '--pack-destination', folder] as const
    const { stdout } = await run(['npm', 'pack', ...flags, work], { timeoutMs: 1_200_000 })
    return join(folder, basename(stdout.trim()))
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

function placeOf(path: string, node: TreeNode): string | undefined {
  if (node.kind !== 'file' || path === 'usr/lib/ironswarm/package.json') return undefined
  const row = PLACES.find(([from]) => path.startsWith(from))
  return row && `${row[1]}${path.slice(row[0].length)}`
}

function manifest(version: string, man: readonly string[]): string {
  const object = {
    name: 'ironswarm',
    version,
    description:
      'Write disk images to bare metal from a BitTorrent swarm; a deploy agent for Ironic',
    license: 'Apache-2.0',
    type: 'module',
    // Node comes along, in the version that all of it is tested with; npm itself runs on this one
    engines: { node: '>=20' },
    os: ['linux'],
    cpu: ['x64'],
    bin: { ironswarm: 'bin/ironswarm' },
    man,
  }
  return `${JSON.stringify(object, null, 2)}\n`
}
