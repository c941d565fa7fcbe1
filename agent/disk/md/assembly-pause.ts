// SPDX-License-Identifier: Apache-2.0
// Owns the time in which nobody but us starts arrays: a link that the ramdisk's udev rule follows. Does not stop what
// has been started already.
import { mkdir, rm, symlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import { settle } from '../../system/udev.ts'
import type { Logger } from '../../telemetry/logger.ts'

/**
 * Where image-build/ramdisk/root/usr/lib/udev/rules.d/61-ironswarm-raid.rules looks, whatever the option run_dir says: a
 * rule reads no options.
 */
export const ASSEMBLY_PAUSE = '/run/ironswarm/raid-changes'

export interface AssemblyPauseDeps {
  readonly exec: Exec
  readonly log: Pick<Logger, 'warn'>
  /** {@link ASSEMBLY_PAUSE}. */
  readonly pausePath: string
}

/**
 * From here to the disposal udev leaves members alone: a member whose superblock was just written, or is to be erased in
 * a moment, would be started behind our back (docs/design/250-software-raid.md). The link leads to this process: if that
 * is killed it leads nowhere, and udev goes on as before. A machine where it cannot be made goes without: then the
 * second try of deleting finds what has come up.
 */
export async function pauseAssembly({
  exec,
  log,
  pausePath,
}: AssemblyPauseDeps): Promise<AsyncDisposable> {
  try {
    await mkdir(dirname(pausePath), { recursive: true })
    // of an agent that was killed
    await rm(pausePath, { force: true })
    await symlink(`/proc/${process.pid}`, pausePath)
  } catch (error) {
    log.warn(
      { path: pausePath, reason: messageOf(error) },
      'udev may start arrays while they change',
    )
  }
  return {
    [Symbol.asyncDispose]: async () => {
      // what was written last is still being looked at
      await settle(exec)
      await rm(pausePath, { force: true }).catch(() => undefined)
    },
  }
}
