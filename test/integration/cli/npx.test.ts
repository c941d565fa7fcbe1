import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

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
