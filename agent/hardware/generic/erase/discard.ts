// SPDX-License-Identifier: Apache-2.0
// Owns discarding every block of a disk (blkdiscard(8)), as ironic-python-agent 13 does where a drive could not erase itself
// and the operator takes that for an erasure. What came of it the markers prove (proof.ts).
import { basename } from 'node:path'
import { throwIfAborted } from '../../../core/deadline.ts'
import type { EraseOptions } from '../../../disk/erase.ts'
import { assertNotInUse } from '../../../disk/in-use.ts'

/** Drives that erase their cells for it take their time. */
const DISCARD_TIMEOUT_MS = 24 * 3_600_000

/**
 * Securely where the drive can, else plainly.
 * @returns what was done; undefined where the disk takes no discards
 * @throws TargetInUseError, ProcessError
 */
export async function discardDisk(
  path: string,
  options: EraseOptions,
): Promise<string | undefined> {
  const { exec, root, signal, log } = options
  const limit = await root.readText(`/sys/block/${basename(path)}/queue/discard_max_bytes`)
  if (limit === undefined || Number(limit) === 0) return undefined
  await assertNotInUse(root, path)
  const timeoutMs = DISCARD_TIMEOUT_MS
  try {
    await exec(['blkdiscard', '--secure', path], { signal, timeoutMs })
    return 'discarded securely'
  } catch (err) {
    throwIfAborted(signal)
    log.info({ device: path, err }, 'no secure discard')
  }
  await exec(['blkdiscard', path], { signal, timeoutMs })
  return 'discarded'
}
