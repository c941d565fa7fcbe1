// SPDX-License-Identifier: Apache-2.0
// Owns the kernel's answer to whether a block device is mounted or claimed, in any namespace. Does not say by whom.
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { sleep } from '../../core/deadline.ts'
import { AgentError, systemErrorCode } from '../../core/errors.ts'

const ATTEMPTS = 25
const BETWEEN_MS = 200

/**
 * Resolves once nobody has the device claimed: a mount is one, O_EXCL tells (open(2)). Processes that were killed
 * need a moment to let go. Throws TargetInUseError after 5 s.
 */
export async function waitUntilFree(path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const handle = await open(path, constants.O_RDONLY | constants.O_EXCL)
      await handle.close()
      return
    } catch (error) {
      if (systemErrorCode(error) !== 'EBUSY') throw error
      if (attempt === ATTEMPTS) {
        throw new AgentError(
          'TargetInUseError',
          `${path} is in use: the kernel refuses exclusive access for ${(ATTEMPTS * BETWEEN_MS) / 1000} s`,
          { cause: error },
        )
      }
      await sleep(BETWEEN_MS)
    }
  }
}
