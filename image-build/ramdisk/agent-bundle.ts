// SPDX-License-Identifier: Apache-2.0
// Owns the agent as it lies in the ramdisk: one file for the program and one for each worker thread, made
// by esbuild, and the list of npm packages that went in.
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { nodeBuiltinsPlugin } from './node-builtins.ts'
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
/** What esbuild makes of their calls; a file without them does without REQUIRE. */
const CALLS_REQUIRE = 'typeof require'

const FOLDER = 'usr/lib/ironswarm/agent'

/**
 * Entries that take less of a package than its own: Node reads and compiles whole files at every boot.
 * Of undici what agent/http/connections.ts imports; the character sets are node-disk-info's for Windows. The
 * others are fastify's, for routes with a schema, for plug-ins and for requests without a socket; the API
 * has none of them, and says so if it ever does.
 */
const ENTRIES: Readonly<Record<string, string>> = {
  undici: `
    exports.Agent = require('undici/lib/dispatcher/agent.js')
    exports.ProxyAgent = require('undici/lib/dispatcher/proxy-agent.js')
    exports.buildConnector = require('undici/lib/core/connect.js')`,
  'iconv-lite': '',
  '@fastify/ajv-compiler': leftOut('a schema is validated', '() => leftOut'),
  '@fastify/fast-json-stringify-compiler': leftOut('a schema is serialized', '() => leftOut'),
  'light-my-request': leftOut('a request is injected', 'leftOut'),
  semver: leftOut(
    "a plug-in's version is compared",
    '{ coerce: leftOut, gt: leftOut, satisfies: leftOut }',
  ),
}

/** A package that is needed at once when `what`, and not before. @param exported by what name it fails */
function leftOut(what: string, exported: string): string {
  const message = `${what}, and the package for it is not in the bundle: see agent-bundle.ts`
  return `const leftOut = () => { throw new Error(${JSON.stringify(message)}) }; module.exports = ${exported}`
}

/** In a file that starts a thread: the file it is started from, beside its own or its own. */
const STARTER = 'new Worker('
const WORKER_URL = /new URL\((?:'\.\/([\w-]+)\.ts', )?import\.meta\.url\)/g

/**
 * Adds the bundled agent to `tree` and returns the packages it is made of, sorted by name. Not split into
 * what commands share: finding, reading and linking thirty files costs `run` more than the rest of a file.
 * @throws Error if two files that are started by themselves have the same name
 */
export async function addAgent(tree: Tree, project: string): Promise<BundledPackage[]> {
  const entryPoints = [join(project, 'agent/main.ts'), ...(await workerFiles(project))]
  refuseTwins(entryPoints, project)
  const result = await build({
    entryPoints,
    absWorkingDir: project,
    outdir: 'agent-bundle',
    entryNames: '[name]',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    // undici's second HTTP parser, an experiment that is off: as Node's own build of undici leaves it out
    define: { esbuildDetection: 'true' },
    banner: { js: REQUIRE },
    plugins: [nodeBuiltinsPlugin, workerPlugin, entriesPlugin(project)],
    write: false,
    metafile: true,
    logLevel: 'error',
  })
  for (const { path, text } of result.outputFiles) {
    tree.add(`${FOLDER}/${basename(path)}`, fileNode(Buffer.from(trimmed(text))))
  }
  const { name, version } = await readManifest(join(project, 'package.json'))
  const manifest = Buffer.from(`${JSON.stringify({ name, version, type: 'module' })}\n`)
  tree.add(join(FOLDER, '../package.json'), fileNode(manifest))
  return await packagesOf(Object.keys(result.metafile.inputs), project)
}

/** As they are, with what lies in folders beside them: Node runs TypeScript in the ramdisk too. */
export async function addHardwareManagers(tree: Tree, folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const bytes = await readFile(path)
    tree.add(join(FOLDER, '../hardware-managers', relative(folder, path)), fileNode(bytes))
  }
}

/** Without REQUIRE where nobody calls it. */
function trimmed(text: string): string {
  return text.includes(CALLS_REQUIRE, REQUIRE.length) ? text : text.replace(REQUIRE, '')
}

/** Every file of the agent that a thread is started from. */
async function workerFiles(project: string): Promise<string[]> {
  const files: string[] = []
  for (const room of ['agent', 'extensions']) {
    const names = await readdir(join(project, room), { recursive: true })
    files.push(
      ...names.filter((name) => name.endsWith('.ts')).map((name) => join(project, room, name)),
    )
  }
  const workers = await Promise.all(files.map(workersOf))
  return [...new Set(workers.flat())].sort()
}

/** All entries lie in one folder, and a thread finds its own there by its name alone. */
function refuseTwins(entryPoints: readonly string[], project: string): void {
  for (const [name, twins] of Map.groupBy(entryPoints, (path) => basename(path))) {
    if (twins.length === 1) continue
    const paths = twins.map((path) => relative(project, path)).join(' and ')
    throw new Error(`${paths} would both be ${name} of the bundle; rename one of them`)
  }
}

async function workersOf(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8')
  if (!text.includes(STARTER)) return []
  return [...text.matchAll(WORKER_URL)].map(([, name]) =>
    name === undefined ? path : join(dirname(path), `${name}.ts`),
  )
}

/** Points each `new Worker(new URL(…))` at the bundle of its file. */
const workerPlugin: Plugin = {
  name: 'worker-files',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/(agent|extensions)\/.*\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      if (!text.includes(STARTER)) return undefined
      const contents = text.replaceAll(
        WORKER_URL,
        (_match, name: string = basename(path, '.ts')) =>
          `new URL('./${name}.mjs', import.meta.url)`,
      )
      if (contents === text) throw new Error(`${path} starts a thread in a way not known here`)
      return { contents, loader: 'ts' }
    })
  },
}

function entriesPlugin(project: string): Plugin {
  const namespace = 'entry'
  const filter = new RegExp(`^(${Object.keys(ENTRIES).join('|')})$`)
  return {
    name: 'entries',
    setup: ({ onLoad, onResolve }) => {
      onResolve({ filter }, ({ path }) => ({ path, namespace }))
      onLoad({ filter, namespace }, ({ path }) => ({
        contents: ENTRIES[path] ?? '',
        loader: 'js',
        resolveDir: project,
      }))
    },
  }
}

async function packagesOf(inputs: readonly string[], project: string): Promise<BundledPackage[]> {
  const folders = new Set<string>()
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)
    if (match) folders.add(match[1] as string)
  }
  const found = await Promise.all(
    [...folders].map((folder) => readManifest(join(project, folder, 'package.json'))),
  )
  const key = ({ name, version }: BundledPackage) => `${name} ${version}`
  return found.sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

async function readManifest(path: string): Promise<BundledPackage> {
  const { name, version, license } = JSON.parse(await readFile(path, 'utf8'))
  return { name, version, license: typeof license === 'string' ? license : 'see package' }
}
