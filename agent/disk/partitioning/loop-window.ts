// SPDX-License-Identifier: Apache-2.0
// Owns loop devices that the kernel takes away when their last user ends, also if that is this process; one over a window of
// a disk, for programs that know no offsets, while the kernel knows no partitions. Does not make file systems.
import { open } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { DiskRange } from '../../core/extent.ts'
import type { Exec } from '../../system/exec.ts'
import type { DeviceGeometry } from '../geometry.ts'

/** Until disposal. */
export interface LoopDevice extends AsyncDisposable {
  /** `/dev/loopN`. */
  readonly path: string
}

/**
 * Attaches with the arguments of losetup(8), and holds it open until stdin ends. Not by us: who is killed between the
 * attachment and what follows would leave it behind, while this ends when our end of its stdin does. It is told to
 * detach at once: loop(4) does that when nobody has it open any more. A failed redirection of a group does not end sh.
 * The program is looked for here, since BusyBox's sh takes its own losetup, which knows less, for a name without path.
 */
const ATTACH = `IFS=:
for folder in $PATH; do [ -x "$folder/losetup" ] && break; done
unset IFS
device=$("$folder/losetup" "$@") || exit
if ! { "$folder/losetup" --detach "$device" && echo "$device" && { read -r _ || :; }; } 3<"$device"
then "$folder/losetup" --detach "$device"; exit 1; fi`

/**
 * Attaches one by what losetup(8) is told beside `--find --show`. It is there as long as our own open file, or anybody
 * else's: nothing stays behind when this process is killed, at whatever moment.
 * @throws ProcessError
 */
export async function openLoopDevice(exec: Exec, options: readonly string[]): Promise<LoopDevice> {
  const stdin = new PassThrough()
  const attached = Promise.withResolvers<string>()
  const onStdout = (bytes: Uint8Array) => attached.resolve(Buffer.from(bytes).toString().trim())
  const argv = ['sh', '-c', ATTACH, 'sh', '--find', '--show', ...options] as const
  const holding = exec(argv, { stdin, onStdout })
  // one that ends before it has said anything has failed
  holding.then(() => attached.reject(new Error('losetup named no device')), attached.reject)
  try {
    const node = await attached.promise
    const handle = await open(node, 'r')
    return { path: node, [Symbol.asyncDispose]: () => handle.close() }
  } finally {
    stdin.end()
    await holding.catch(() => undefined)
  }
}

/**
 * Opens one with the sectors of the disk.
 * With `read` whoever mounts it cannot write either, not even a journal. Throws BlockDeviceError.
 */
export async function openLoopWindow(
  exec: Exec,
  { path, logicalSectorBytes }: Pick<DeviceGeometry, 'path' | 'logicalSectorBytes'>,
  range: DiskRange,
  mode: 'read' | 'write' = 'write',
): Promise<LoopDevice> {
  try {
    return await openLoopDevice(exec, [
      ...(mode === 'read' ? ['--read-only'] : []),
      `--offset=${range.offset}`,
      `--sizelimit=${range.length}`,
      `--sector-size=${logicalSectorBytes}`,
      path,
    ])
  } catch (error) {
    throw new AgentError(
      'BlockDeviceError',
      `no loop device over ${path} at offset ${range.offset}: ${messageOf(error)}`,
      { cause: error },
    )
  }
}
