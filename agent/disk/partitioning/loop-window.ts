// SPDX-License-Identifier: Apache-2.0
// Owns a loop device over a window of a disk: for programs that know no offsets, while the kernel knows no partitions.
// The kernel takes it away when its last user ends, also if that is this process. Does not make file systems.
import { open } from 'node:fs/promises'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { DiskRange } from '../../core/extent.ts'
import type { Exec } from '../../system/exec.ts'
import type { DeviceGeometry } from '../geometry.ts'

/** Until disposal. */
export interface LoopWindow extends AsyncDisposable {
  /** `/dev/loopN`. */
  readonly path: string
}

/**
 * Attaches one with the sectors of the disk. It is told to detach at once: loop(4) does that when nobody has it open
 * any more, so that our own open file keeps it, and nothing stays behind when this process is killed.
 * With `read` whoever mounts it cannot write either, not even a journal. Throws BlockDeviceError.
 */
export async function openLoopWindow(
  exec: Exec,
  { path, logicalSectorBytes }: Pick<DeviceGeometry, 'path' | 'logicalSectorBytes'>,
  range: DiskRange,
  mode: 'read' | 'write' = 'write',
): Promise<LoopWindow> {
  try {
    const { stdout } = await exec([
      'losetup',
      '--find',
      '--show',
      ...(mode === 'read' ? ['--read-only'] : []),
      `--offset=${range.offset}`,
      `--sizelimit=${range.length}`,
      `--sector-size=${logicalSectorBytes}`,
      path,
    ])
    const node = stdout.trim()
    const detach = () => exec(['losetup', '--detach', node])
    const handle = await open(node, 'r').catch(async (error: unknown) => {
      await detach().catch(() => undefined)
      throw error
    })
    try {
      await detach()
    } catch (error) {
      await handle.close()
      throw error
    }
    return { path: node, [Symbol.asyncDispose]: () => handle.close() }
  } catch (error) {
    throw new AgentError(
      'BlockDeviceError',
      `no loop device over ${path} at offset ${range.offset}: ${messageOf(error)}`,
      { cause: error },
    )
  }
}
