import { configDefaults, defineConfig } from 'vitest/config'

/** What starts a process or a thread of the agent: these run on the bundle that the ramdisk ships as well. */
const ON_THE_BUNDLE = [
  'test/integration/cli/{hardware-managers,run,swarm,virtual-media,write}.test.ts',
  'test/integration/swarm/{origin-faults,peer-faults,swarm,worker}.test.ts',
]

/**
 * Threads that crash or are ended in the middle of their work: of the sources each would strip types by WebAssembly
 * meanwhile, at which V8 has ended the whole process twice (docs/design/270-v8-protection-keys.md).
 */
const ON_THE_BUNDLE_ONLY = ['test/integration/swarm/worker.test.ts']

// One process per file: tests open real sockets and devices, and no file may see another's.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // as the agent is started: V8 loses its account of code pages where threads come and go, and ends the process
    execArgv: ['--no-memory-protection-keys'],
    // for what is broken, and no measures: where others have the processors, a minute of work takes several
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // what is waited for comes late on a busy machine; the default is a second
    expect: { poll: { timeout: 50_000 } },
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'sources',
          include: ['test/{unit,contract,integration}/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...ON_THE_BUNDLE_ONLY],
        },
      },
      {
        extends: true,
        test: {
          name: 'bundle',
          include: ON_THE_BUNDLE,
          globalSetup: './test/support/bundle-setup.ts',
          setupFiles: './test/support/bundle-file-setup.ts',
        },
      },
      {
        extends: true,
        test: {
          // what it attacks is what is shipped; alone and last, so that only the attack takes its time
          name: 'hostile',
          include: ['test/hostile/**/*.test.ts'],
          globalSetup: './test/support/bundle-setup.ts',
          setupFiles: './test/support/bundle-file-setup.ts',
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
