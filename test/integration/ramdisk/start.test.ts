// The wrapper of the ramdisk and the agent agree on what a process must be born with.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBundle } from '../../support/bundle.ts'
import { canMakeSmallRoots, createSmallRoot, type SmallRoot } from '../../support/small-root.ts'

/** A main thread of Node, as it found itself. */
interface Start {
  readonly pid: number
  readonly flags: readonly string[]
  readonly arenas?: string
  readonly threads?: string
}

/** Read by every Node before anything else; process.execve leaves the environment to its caller. */
const COUNT = `
import { appendFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
const { pid, execArgv: flags, env } = process
const start = { pid, flags, arenas: env.MALLOC_ARENA_MAX, threads: env.UV_THREADPOOL_SIZE }
if (isMainThread) appendFileSync('/starts', JSON.stringify(start) + '\\n')
`

describe.skipIf(!canMakeSmallRoots())('the agent of the ramdisk', () => {
  let root: SmallRoot

  beforeAll(async () => {
    await using bundle = await createBundle()
    root = await createSmallRoot(bundle.folder)
    await writeFile(join(root.folder, 'count.mjs'), COUNT)
  })
  afterAll(() => root?.[Symbol.asyncDispose]())

  const startsOf = async (...argv: string[]): Promise<{ stdout: string; starts: Start[] }> => {
    await writeFile(join(root.folder, 'starts'), '')
    const { stdout } = await root.run(argv, { NODE_OPTIONS: '--import /count.mjs' })
    const lines = (await readFile(join(root.folder, 'starts'), 'utf8')).trim().split('\n')
    return { stdout, starts: lines.map((line) => JSON.parse(line)) }
  }

  test.each(['--version', 'config --json'])(
    'starts Node once, with bounded memory: ironswarm %s',
    async (words) => {
      const { stdout, starts } = await startsOf('/usr/bin/ironswarm', ...words.split(' '))
      expect(stdout).not.toBe('')
      expect(starts).toHaveLength(1)
      expect(starts[0]?.flags).toEqual([
        // docs/design/270-v8-protection-keys.md
        '--no-memory-protection-keys',
        expect.stringMatching(/^--max-old-space-size=\d+$/),
        '--max-semi-space-size=4',
      ])
      expect(starts[0]).toMatchObject({ arenas: '2', threads: '16' })
    },
  )

  test('started without its wrapper it starts itself anew, once, as the same process', async () => {
    const main = '/usr/lib/ironswarm/agent/main.mjs'
    const { stdout, starts } = await startsOf('/usr/bin/node', '--title=agent', main, '--version')
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    const [before, after] = starts as [Start, Start]
    expect(starts).toHaveLength(2)
    expect(before.flags).toEqual(['--title=agent'])
    expect(after).toEqual({
      pid: before.pid,
      flags: ['--max-semi-space-size=4', '--title=agent'],
      arenas: '2',
      threads: '16',
    })
  })
})
