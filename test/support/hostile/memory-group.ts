// SPDX-License-Identifier: Apache-2.0
// Owns a memory cgroup of a test, version 1 or 2: who goes over its limit is killed by the kernel, as on a
// machine with no more memory than that. Does not start what runs in it.
import { mkdtemp, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface MemoryGroup extends AsyncDisposable {
  /** Words before a command that put it, and what it starts, into the group. */
  readonly words: readonly string[]
  /** How often the kernel has killed something in it. */
  oomKills(): Promise<number>
}

interface Version {
  /** Where groups are made. */
  readonly parent: string
  readonly limitFile: string
  /** The file with a line `oom_kill N`. */
  readonly eventsFile: string
}

/**
 * A group with a limit. `await using` removes it; what ran in it must have ended by then.
 * Throws where none can be made, with what is missing: a test without its limit would show nothing.
 */
export async function createMemoryGroup(limitBytes: number): Promise<MemoryGroup> {
  const { parent, limitFile, eventsFile } = await findVersion()
  const folder = await mkdtemp(join(parent, 'ironswarm-hostile-')).catch((cause: unknown) => {
    throw new Error(`no memory cgroup can be made in ${parent}: be root`, { cause })
  })
  await writeFile(join(folder, limitFile), String(limitBytes))
  return {
    words: ['sh', '-c', `echo $$ > ${join(folder, 'cgroup.procs')} && exec "$@"`, 'sh'],
    oomKills: async () => {
      const text = await readFile(join(folder, eventsFile), 'utf8')
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)
    },
    [Symbol.asyncDispose]: () => remove(folder),
  }
}

async function findVersion(): Promise<Version> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8'))
    .split('\n')
    .map((line) => line.split(' '))
  for (const [, path = '', type, flags = ''] of mounts) {
    if (type === 'cgroup' && flags.split(',').includes('memory')) {
      return {
        parent: path,
        limitFile: 'memory.limit_in_bytes',
        eventsFile: 'memory.oom_control',
      }
    }
    if (type !== 'cgroup2') continue
    const controllers = await readFile(join(path, 'cgroup.controllers'), 'utf8').catch(() => '')
    if (!controllers.split(/\s/).includes('memory')) continue
    // groups below have the controller only where their parent hands it on
    await writeFile(join(path, 'cgroup.subtree_control'), '+memory').catch((cause: unknown) => {
      throw new Error(`the memory controller of ${path} cannot be handed on`, { cause })
    })
    return { parent: path, limitFile: 'memory.max', eventsFile: 'memory.events' }
  }
  throw new Error('no memory cgroup is mounted: mount one below /sys/fs/cgroup, as root')
}

/** A process that has just ended is counted a little longer. */
async function remove(folder: string): Promise<void> {
  for (let left = 50; ; left--) {
    try {
      return await rmdir(folder)
    } catch (error) {
      if (left === 0) throw error
      await delay(100)
    }
  }
}
