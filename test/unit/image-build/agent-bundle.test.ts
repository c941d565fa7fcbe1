import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { addAgent } from '../../../image-build/ramdisk/agent-bundle.ts'
import { createTree, writeTree } from '../../../image-build/ramdisk/tree.ts'

let project: string

beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), 'ironswarm-bundle-'))
  await write('package.json', '{"name":"small","version":"1.2.3","type":"module"}')
  await mkdir(join(project, 'extensions'))
  await write('agent/main.ts', "await import('./a/host.ts')\n")
})
afterEach(() => rm(project, { recursive: true, force: true }))

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(project, path)), { recursive: true })
  await writeFile(join(project, path), text)
}

const starting = (name: string) => `
import { Worker } from 'node:worker_threads'
new Worker(new URL('./${name}.ts', import.meta.url))
`

async function bundle(): Promise<string[]> {
  const tree = createTree()
  await addAgent(tree, project)
  return tree.entries().flatMap(([path, { kind }]) => (kind === 'file' ? [path] : []))
}

describe('the bundle of the ramdisk', () => {
  test('has a file for the program and one for each file that a thread is started from', async () => {
    await write('agent/a/host.ts', starting('count-worker'))
    await write('agent/a/count-worker.ts', 'console.log(1)\n')
    const files = await bundle()
    expect(files).toContain('usr/lib/ironswarm/agent/main.mjs')
    expect(files).toContain('usr/lib/ironswarm/agent/count-worker.mjs')
  })

  test("reads no more of Node's modules than the names that are imported", async () => {
    await write(
      'agent/a/host.ts',
      `import { METHODS } from 'node:http'
import fs, { existsSync } from 'node:fs'
const isFetchLoaded = process.moduleLoadList.includes('NativeModule internal/deps/undici/undici')
console.log(METHODS.includes('GET'), fs.existsSync === existsSync, isFetchLoaded)
`,
    )
    const tree = createTree()
    await addAgent(tree, project)
    await writeTree(tree, join(project, 'root'))
    const main = join(project, 'root/usr/lib/ironswarm/agent/main.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [main])
    expect(stdout).toBe('true true false\n')
  })

  test.each([
    ['two threads', 'count-worker', 'agent/b/count-worker.ts'],
    ['a thread and the program', 'main', 'agent/main.ts'],
  ])('is not made of %s of one name: one would run as the other', async (_whose, name, twin) => {
    await write('agent/a/host.ts', starting(name))
    await write(`agent/a/${name}.ts`, 'console.log(1)\n')
    await write('agent/b/host.ts', starting('count-worker'))
    await write('agent/b/count-worker.ts', 'console.log(2)\n')
    await expect(bundle()).rejects.toThrow(`agent/a/${name}.ts`)
    await expect(bundle()).rejects.toThrow(twin)
  })

  test('is not made of a thread that is started in a way the builder does not know', async () => {
    await write(
      'agent/a/host.ts',
      "import { Worker } from 'node:worker_threads'\nnew Worker('./x.ts')\n",
    )
    await expect(bundle()).rejects.toThrow(/host\.ts starts a thread in a way not known here/)
  })
})
