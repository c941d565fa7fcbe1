// SPDX-License-Identifier: Apache-2.0
// Owns asking blkid what file system lies at an offset of a disk. Does not mount it.
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentError, messageOf } from '../core/errors.ts'
import type { DiskRange } from '../core/extent.ts'
import { MiB } from '../core/units.ts'
import type { Exec } from '../system/exec.ts'
import { parseProperties } from '../system/udev.ts'
import type { BlockDevice } from './block-device.ts'

export interface ProbedFileSystem {
  readonly type: string | undefined
  readonly label: string | undefined
  readonly uuid: string | undefined
}

/** Signatures, labels and FAT's root directory lie in this much from the start, bytes. */
const HEAD_BYTES = 2 * MiB

/**
 * Type, label and UUID at `range` of the device; undefined where blkid knows none. blkid gets a sparse
 * copy of the beginning, so that it sees what `device` shows, be it on the medium yet or not.
 * Throws BlockDeviceError.
 */
export async function probeFileSystem(
  exec: Exec,
  device: Pick<BlockDevice, 'geometry' | 'read'>,
  range: DiskRange,
): Promise<ProbedFileSystem> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, range.length))
  await device.read(range.offset, head)
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-probe-'))
  try {
    const copy = join(folder, 'file-system')
    await writeFile(copy, head)
    await truncate(copy, range.length)
    // 2: nothing known there; 8: several signatures contradict each other (blkid(8))
    const { stdout } = await exec(['blkid', '--probe', '--output=export', copy], {
      okExitCodes: [0, 2, 8],
    })
    const found = parseProperties(stdout)
    return { type: found.get('TYPE'), label: found.get('LABEL'), uuid: found.get('UUID') }
  } catch (error) {
    const { path } = device.geometry
    const what = `cannot probe ${path} at offset ${range.offset}: ${messageOf(error)}`
    throw new AgentError('BlockDeviceError', what, { cause: error })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
