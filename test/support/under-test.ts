// SPDX-License-Identifier: Apache-2.0
// Owns which agent the tests start: the sources, or the bundle that the ramdisk ships, where
// BUNDLE_UNDER_TEST names a tree of bundle.ts. Does not build it.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const PROJECT = join(import.meta.dirname, '../..')
const NODE = join(PROJECT, 'node_modules/.bin/node')
const BUNDLE = process.env['BUNDLE_UNDER_TEST']

/** The words that start the agent's program; its arguments follow. The bundle's are the ramdisk's wrapper's. */
export const AGENT_COMMAND: readonly [string, ...string[]] =
  BUNDLE === undefined
    ? [NODE, join(PROJECT, 'agent/main.ts')]
    : [
        ...(['env', 'MALLOC_ARENA_MAX=2', 'UV_THREADPOOL_SIZE=16'] as const),
        'NODE_DISABLE_COMPILE_CACHE=1',
        ...[NODE, '--max-semi-space-size=4', bundled('main')],
      ]

/** The swarm's thread of the bundle; undefined: the sources' own. */
export const BUNDLED_SWARM_WORKER: URL | undefined =
  BUNDLE === undefined ? undefined : pathToFileURL(bundled('swarm-worker'))

function bundled(name: string): string {
  return join(BUNDLE ?? '', 'usr/lib/ironswarm/agent', `${name}.mjs`)
}
