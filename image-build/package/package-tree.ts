// SPDX-License-Identifier: Apache-2.0
// Owns what lies in an installed ironswarm: the bundle, the Node that runs it, the command, manual pages, completions,
// units, licences. Does not pack it; deb.ts and npm.ts do.
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describeProgram } from '../../agent/cli/program.ts'
import { OPTIONS } from '../../agent/config/options.ts'
import { addAgent, type BundledPackage } from '../ramdisk/agent-bundle.ts'
import { makeNodeProgram } from '../ramdisk/node-program.ts'
import { createTree, fileNode, type Tree } from '../ramdisk/tree.ts'
import { bashCompletion, zshCompletion } from './completions.ts'
import { makeManPages } from './man-pages.ts'

export interface PackageTree {
  /** From `usr` on, as Debian has it. */
  readonly tree: Tree
  readonly version: string
  /** Licences of all that is in it, one text. */
  readonly copyright: string
}

const ROOT = join(import.meta.dirname, 'root')

/** @param cache where Node without its symbols is kept */
export async function makePackageTree(project: string, cache: string): Promise<PackageTree> {
  const tree = createTree()
  const packages = await addAgent(tree, project)
  await dropShebang(tree)
  const node = await makeNodeProgram(project, cache)
  tree.add('usr/lib/ironswarm/node', fileNode(node.path, 0o755))
  await addRoot(tree)
  const { version } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))
  const program = describeProgram(version)
  for (const { name, text } of makeManPages({ program, options: OPTIONS, version })) {
    const path = `usr/share/man/man${name.at(-1)}/${name}.gz`
    tree.add(path, fileNode(gzipSync(text, { level: 9 })))
  }
  const add = (path: string, text: string) => tree.add(path, fileNode(Buffer.from(text)))
  add('usr/share/bash-completion/completions/ironswarm', bashCompletion(program))
  add('usr/share/zsh/vendor-completions/_ironswarm', zshCompletion(program))
  const copyright = await copyrightOf(project, [...packages, node.package])
  add('usr/share/doc/ironswarm/copyright', copyright)
  return { tree, version, copyright }
}

/** It is called by the command, and by no Node that happens to be there. */
async function dropShebang(tree: Tree): Promise<void> {
  const entry = tree.entries().find(([name]) => name.endsWith('/main.mjs'))
  if (entry?.[1].kind !== 'file') throw new Error('the bundle has no main.mjs')
  const [path, { source }] = entry
  const text =
    typeof source === 'string' ? await readFile(source, 'utf8') : Buffer.from(source).toString()
  tree.add(path, fileNode(Buffer.from(text.replace(/^#!.*\n/, ''))))
}

/** The files that are as they are in the project. */
async function addRoot(tree: Tree): Promise<void> {
  const entries = await readdir(ROOT, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const name = relative(ROOT, path)
    tree.add(name, fileNode(await readFile(path), name.startsWith('usr/bin/') ? 0o755 : 0o644))
  }
}

/** Ours, then each package with its name, version and the text it came with. */
async function copyrightOf(project: string, packages: readonly BundledPackage[]): Promise<string> {
  const parts = [
    'ironswarm is licensed under the Apache License, version 2.0; on Debian see /usr/share/common-licenses/Apache-2.0.',
    'In it are these packages:',
  ]
  for (const { name, version, license } of packages) {
    const folder = join(project, 'node_modules', name)
    const names = await readdir(folder).catch(() => [])
    const file = names.find((found) => /^(?:licen[cs]e|copying)/i.test(found))
    // Debian wants its text named, not repeated
    const isNamed = file === undefined || license === 'Apache-2.0'
    const text = isNamed ? '' : await readFile(join(folder, file), 'utf8')
    parts.push(`${'-'.repeat(72)}\n${name} ${version}: ${license}\n\n${text.trim()}`)
  }
  return `${parts.join('\n\n')}\n`
}
