// SPDX-License-Identifier: Apache-2.0
// Owns finding third-party hardware managers: each is a file of one directory. One that cannot be loaded is left out,
// with the reason. Does not evaluate them (dispatcher.ts).
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { detailsOf, messageOf, systemErrorCode } from '../../core/errors.ts'
import type { LeftOutManager } from '../dispatcher.ts'
import type { HardwareManager } from '../manager.ts'
import { type CustomManagerDeps, openCustomManager } from './custom-manager.ts'

/** Each has a thread of its own. */
const MOST_MANAGERS = 16

export interface CustomManagers {
  /** In the order of their file names. */
  readonly managers: readonly HardwareManager[]
  readonly leftOut: readonly LeftOutManager[]
}

/** Loads every manager of the directory, all at once. Never throws; no directory is no managers. */
export async function loadCustomManagers(
  directory: string,
  deps: CustomManagerDeps,
): Promise<CustomManagers> {
  const managers: HardwareManager[] = []
  const leftOut: LeftOutManager[] = []
  const { names, reason } = await listFiles(directory)
  if (reason !== undefined) leftOut.push({ manager: directory, reason })
  for (const manager of names.slice(MOST_MANAGERS)) {
    const most = `${names.length} files in ${directory}; ${MOST_MANAGERS} are allowed`
    leftOut.push({ manager, reason: most })
  }
  const opened = await Promise.allSettled(
    names.slice(0, MOST_MANAGERS).map((name) => {
      const log = deps.log.child({ hardware_manager: name })
      return openCustomManager(join(directory, name), { ...deps, log })
    }),
  )
  for (const [i, result] of opened.entries()) {
    const file = names[i] as string
    if (result.status === 'rejected') {
      leftOut.push({ manager: file, reason: detailsOf(result.reason) })
      continue
    }
    const manager = result.value
    const twin = managers.find(
      ({ name, label }) => name === manager.name || label === manager.label,
    )
    if (twin) {
      await manager.close?.()
      leftOut.push({ manager: file, reason: `there is a manager ${twin.name} already` })
    } else managers.push(manager)
  }
  return { managers, leftOut }
}

/** What a manager consists of besides lies in folders. */
async function listFiles(
  directory: string,
): Promise<{ readonly names: readonly string[]; readonly reason?: string }> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    const names = entries
      .filter((entry) => !entry.isDirectory() && isManager(entry.name))
      .map(({ name }) => name)
    return { names: names.sort() }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { names: [] }
    return { names: [], reason: messageOf(error) }
  }
}

function isManager(name: string): boolean {
  return /\.(ts|mts|js|mjs)$/.test(name) && !/\.(d\.m?ts|test\.\w+)$/.test(name)
}
