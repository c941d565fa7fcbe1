// SPDX-License-Identifier: Apache-2.0
// Owns the time in which nobody but us starts arrays: a file that the ramdisk's udev rule looks for. Does not stop what
// has been started already.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import { settle } from '../../system/udev.ts'
import type { Logger } from '../../telemetry/logger.ts'

/** image-build/ramdisk/root/usr/lib/udev/rules.d/61-ironswarm-raid.rules has it too. */
const NAME = 'raid-changes'

export interface AssemblyPauseDeps {
  readonly exec: Exec
  readonly log: Logger
  /** The option `run_dir`. */
  readonly runDir: string
}

/**
 * From here to the disposal udev leaves members alone: a member whose superblock was just written, or is to be erased in
 * a moment, would be started behind our back (docs/design/250-software-raid.md). A machine where the file cannot
 * be written goes without: then the second try of deleting finds what has come up.
 */
export async function pauseAssembly({
  exec,
  log,
  runDir,
}: AssemblyPauseDeps): Promise<AsyncDisposable> {
  const path = join(runDir, NAME)
  try {
    await mkdir(runDir, { recursive: true })
    await writeFile(path, '')
  } catch (error) {
    log.warn({ path, reason: messageOf(error) }, 'udev may start arrays while they change')
  }
  return {
    [Symbol.asyncDispose]: async () => {
      // what was written last is still being looked at
      await settle(exec)
      await rm(path, { force: true }).catch(() => undefined)
    },
  }
}
