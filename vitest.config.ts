import { defineConfig } from 'vitest/config'

// One process per file: tests open real sockets and devices, and no file may see another's.
export default defineConfig({
  test: {
    include: ['test/{unit,contract,integration}/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', './test/support/closing-line-reporter.ts'],
  },
})
