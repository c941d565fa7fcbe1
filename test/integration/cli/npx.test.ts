import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

test("npx ironswarm works from the checkout, on the pinned Node, whatever the machine's own is", async () => {
  const cache = await mkdtemp(join(tmpdir(), 'ironswarm-npx-'))
  try {
    const { stdout } = await promisify(execFile)('npx', ['ironswarm', '--version'], {
      // as in a fresh shell: without the project's own folder of commands, and without a registry
      env: {
        HOME: cache,
        PATH: (process.env['PATH'] ?? '')
          .split(':')
          .filter((folder) => !folder.includes('node_modules'))
          .join(':'),
        npm_config_cache: cache,
        npm_config_registry: 'http://127.0.0.1:1/',
      },
    })
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  } finally {
    await rm(cache, { recursive: true, force: true })
  }
})

describe('bin/ironswarm', () => {
  const program = resolve('bin/ironswarm')

  test('works from any folder and by a symbolic link, on the pinned Node', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ironswarm-bin-'))
    try {
      const named = join(folder, 'ironswarm')
      await symlink(program, named)
      for (const command of [program, named]) {
        const options = { cwd: folder, env: { PATH: '/usr/bin:/bin' } }
        const { stdout } = await promisify(execFile)(command, ['--version'], options)
        expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  test('says in one line what a fresh clone lacks', async () => {
    const clone = await mkdtemp(join(tmpdir(), 'ironswarm-clone-'))
    try {
      await mkdir(join(clone, 'bin'))
      await copyFile(program, join(clone, 'bin/ironswarm'))
      const started = promisify(execFile)(join(clone, 'bin/ironswarm'), ['--version'])
      await expect(started).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^ironswarm: this checkout is not set up; run: make -C .* setup\n$/),
      })
    } finally {
      await rm(clone, { recursive: true, force: true })
    }
  })
})
