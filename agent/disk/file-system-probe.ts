// SPDX-License-Identifier: Apache-2.0
// Owns asking blkid what file system lies at an offset of a disk. Does not mount it.
import { AgentError } from '../core/errors.ts'
import type { ByteRange } from '../core/extent.ts'
import type { Exec } from '../system/exec.ts'
import { parseProperties } from '../system/udev.ts'

export interface ProbedFileSystem {
  readonly type: string | undefined
  readonly label: string | undefined
  readonly uuid: string | undefined
}

/** Type, label and UUID at `range` of `path`; undefined where blkid knows none. Throws BlockDeviceError. */
export async function probeFileSystem(
  exec: Exec,
  path: string,
  range: ByteRange,
): Promise<ProbedFileSystem> {
  const place = [`--offset=${range.offset}`, `--size=${range.length}`]
  try {
    // 2: nothing known there; 8: several signatures contradict each other (blkid(8))
    const { stdout } = await exec(['blkid', '--probe', '--output=export', ...place, path], {
      okExitCodes: [0, 2, 8],
    })
    const found = parseProperties(stdout)
    return { type: found.get('TYPE'), label: found.get('LABEL'), uuid: found.get('UUID') }
  } catch (error) {
    const what = `cannot probe ${path} at offset ${range.offset}`
    throw new AgentError('BlockDeviceError', what, { cause: error })
  }
}
