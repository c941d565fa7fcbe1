// SPDX-License-Identifier: Apache-2.0
// Owns the agent as it lies in the ramdisk: one file for the program and one for each worker thread,
// made by esbuild, and the list of npm packages that went in. Does not change what the agent does.
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { fileNode, type Tree } from './tree.ts'

/** An npm package of which something is in the bundle. */
export interface BundledPackage {
  readonly name: string
  readonly version: string
  readonly license: string
}

/** CommonJS packages call require() for Node's own modules; an ES module has none. */
const REQUIRE =
  "import{createRequire as ironswarmRequire}from'node:module';const require=ironswarmRequire(import.meta.url);"

const FOLDER = 'usr/lib/ironswarm/agent'

/** A thread is started from a file beside the bundle; a file may also start itself again as a thread. */
const WORKER_URL = /new URL\((?:'\.\/([\w-]+)\.ts', )?import\.meta\.url\)/g

/** Adds the bundled agent to `tree` and returns the packages it is made of, sorted by name. */
export async function addAgent(tree: Tree, project: string): Promise<BundledPackage[]> {
  const packages = new Map<string, BundledPackage>()
  const queue = [join(project, 'agent/main.ts')]
  const done = new Set<string>()
  for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
    if (done.has(entry)) continue
    done.add(entry)
    const { code, inputs, workers } = await bundle(entry, project)
    tree.add(`${FOLDER}/${basename(entry, '.ts')}.mjs`, fileNode(code))
    queue.push(...workers)
    for (const one of await packagesOf(inputs, project)) packages.set(one.name, one)
  }
  const { name, version } = await readManifest(join(project, 'package.json'))
  tree.add(join(FOLDER, '../package.json'), fileNode(toJson({ name, version })))
  return [...packages.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

interface Bundle {
  readonly code: Uint8Array
  readonly inputs: readonly string[]
  /** Files that this one starts threads from. */
  readonly workers: readonly string[]
}

async function bundle(entry: string, project: string): Promise<Bundle> {
  const workers = new Set<string>()
  const result = await build({
    entryPoints: [entry],
    absWorkingDir: project,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    banner: { js: REQUIRE },
    plugins: [workerFiles(workers)],
    write: false,
    metafile: true,
    logLevel: 'error',
  })
  const code = result.outputFiles[0]?.contents
  if (!code) throw new Error(`esbuild made nothing of ${relative(project, entry)}`)
  return { code, inputs: Object.keys(result.metafile.inputs), workers: [...workers] }
}

/** Points each `new Worker(new URL(…))` at the bundle of its file, and notes which files those are. */
function workerFiles(found: Set<string>): Plugin {
  return {
    name: 'worker-files',
    setup: ({ onLoad }) => {
      onLoad({ filter: /\/(agent|extensions)\/.*\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8')
        if (!text.includes('new Worker(')) return undefined
        const contents = text.replaceAll(WORKER_URL, (_match, name?: string) => {
          const file = name === undefined ? path : join(dirname(path), `${name}.ts`)
          found.add(file)
          return `new URL('./${basename(file, '.ts')}.mjs', import.meta.url)`
        })
        return { contents, loader: 'ts' }
      })
    },
  }
}

async function packagesOf(inputs: readonly string[], project: string): Promise<BundledPackage[]> {
  const folders = new Set<string>()
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)
    if (match) folders.add(match[1] as string)
  }
  return await Promise.all(
    [...folders].map(async (folder) => readManifest(join(project, folder, 'package.json'))),
  )
}

async function readManifest(path: string): Promise<BundledPackage> {
  const { name, version, license } = JSON.parse(await readFile(path, 'utf8'))
  return { name, version, license: typeof license === 'string' ? license : 'see package' }
}

function toJson(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`)
}
