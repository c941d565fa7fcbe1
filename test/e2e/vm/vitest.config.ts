import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const PROJECT = join(import.meta.dirname, '../../..')

// One file at a time: all of them use the one network that the tests live in, and the processor.
export default defineConfig({
  root: PROJECT,
  test: {
    include: ['test/e2e/vm/**/*.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 300_000,
    reporters: ['verbose', join(PROJECT, 'test/support/closing-line-reporter.ts')],
  },
})
