// SPDX-License-Identifier: Apache-2.0
// Owns the step erase_pstore (contract 7.2): what the kernels of earlier tenants have left of their crashes in memory
// that outlives a power cycle. Does not mount anything; the ramdisk does.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import { listMounts } from '../../system/mounts.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { StepImplementation } from '../manager.ts'

interface PstoreDeps {
  readonly root: Root
  readonly log: Pick<Logger, 'info'>
}

/** The clean step, off unless somebody asks for it. Its result is a sentence. */
export function createPstoreStep(deps: PstoreDeps): StepImplementation {
  return {
    kinds: ['clean'],
    announce: {
      step: 'erase_pstore',
      priority: 0,
      interface: 'deploy',
      reboot_requested: false,
      abortable: true,
    },
    accepts: [],
    run: ({ context }) => erasePstore(deps, context.signal),
  }
}

/**
 * Deletes every record, and looks whether they are gone: firmware may refuse to delete a variable.
 * Throws CleaningError with the names of those that stay.
 */
async function erasePstore({ root, log }: PstoreDeps, signal: AbortSignal): Promise<string> {
  const folder = (await listMounts(root)).find(({ fsType }) => fsType === 'pstore')?.mountPoint
  if (folder === undefined) return 'no pstore is mounted'
  const records = await root.list(folder)
  const reasons = new Map<string, string>()
  for (const name of records) {
    throwIfAborted(signal)
    await rm(root.path(join(folder, name)), { recursive: true }).catch((error: unknown) => {
      reasons.set(name, messageOf(error))
    })
  }
  const left = await root.list(folder)
  if (left.length > 0) {
    const named = left
      .slice(0, 5)
      .map((name) => `${name} (${reasons.get(name) ?? 'is there again'})`)
    throw new AgentError(
      'CleaningError',
      `erase_pstore: ${left.length} of ${records.length} records in ${folder} are still there: ${named.join('; ')}`,
    )
  }
  log.info({ folder, records: records.length }, 'pstore erased')
  return `${records.length} records erased from ${folder}`
}
