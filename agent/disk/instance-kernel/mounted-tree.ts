// SPDX-License-Identifier: Apache-2.0
// Owns a file system of the image that the kernel reads: mounted read only in a namespace of one process, which ends with
// the agent, however that ends. No program of the image runs, no node of it is a device.
/// <reference lib="esnext.disposable" />
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdtemp, open, opendir, readlink, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { throwIfAborted, withDeadline } from '../../core/deadline.ts'
import { systemErrorCode } from '../../core/errors.ts'
import type { DiskRange } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import { type Filter, startFilter } from '../../system/filter.ts'
import type { DeviceGeometry } from '../geometry.ts'
import { openLoopWindow } from '../partitioning/loop-window.ts'
import { cannotFollow } from './boot-entry.ts'
import { type TreeNode, type TreeSource, writeWhole } from './image-tree.ts'

/** Drivers and options by blkid's names. Journals are not replayed: the medium is not written, and GRUB reads it so too. */
export const MOUNTS: ReadonlyMap<string, readonly [driver: string, options: string]> = new Map([
  ['ext2', ['ext4', 'noload']],
  ['ext3', ['ext4', 'noload']],
  ['ext4', ['ext4', 'noload']],
  ['xfs', ['xfs', 'norecovery,nouuid']],
  ['btrfs', ['btrfs', 'rescue=nologreplay']],
])

/** With a slow disk a mount takes seconds. */
const MOUNT_DEADLINE_MS = 30_000
/**
 * Mounts and waits for the end of its stdin, which the kernel closes when the agent is gone. By its path: BusyBox's shell
 * takes its own mount before others.
 */
const HOLD_SCRIPT = `
set -euf
/bin/mount -t "$1" -o "$2" "$3" "$4"
echo "mounted $$"
exec cat > /dev/null
`

export interface MountedTree extends TreeSource, AsyncDisposable {}

export interface MountRequest {
  readonly exec: Exec
  readonly disk: Pick<DeviceGeometry, 'path' | 'logicalSectorBytes'>
  readonly range: DiskRange
  /** As blkid calls it, one of {@link MOUNTS}. */
  readonly type: string
  readonly signal: AbortSignal
}

/** Throws InvalidImage for what the kernel does not mount, BlockDeviceError, ProcessError. */
export async function mountTree({
  exec,
  disk,
  range,
  type,
  signal,
}: MountRequest): Promise<MountedTree> {
  const [driver, options] = MOUNTS.get(type) ?? [type, '']
  await using begun = new AsyncDisposableStack()
  const window = begun.use(await openLoopWindow(exec, disk, range, 'read'))
  const mountPoint = await mkdtemp(join(tmpdir(), 'ironswarm-kernel-'))
  begun.defer(() => rmdir(mountPoint))
  const all = ['ro,nodev,nosuid,noexec', options].filter(Boolean).join(',')
  const holder = begun.use(
    startFilter(
      [
        ...(['unshare', '--mount', '--propagation=private', '--net', '--'] as const),
        ...['/bin/sh', '-c', HOLD_SCRIPT, 'hold', driver, all, window.path, mountPoint],
      ],
      { silenceMs: MOUNT_DEADLINE_MS, signal },
    ),
  )
  // nothing is written to the script, so its silence has no clock; a mount that hangs in the kernel is left behind
  const said = await withDeadline(firstLine(holder), MOUNT_DEADLINE_MS, () =>
    cannotFollow(`its ${type} file system is not mounted after ${MOUNT_DEADLINE_MS / 1000} s`),
  )
  const pid = /^mounted (\d+)\n/.exec(said)?.[1]
  if (pid === undefined) {
    throwIfAborted(signal)
    const { stderr } = await holder.ended
    const reason = stderr.split('\n')[0]?.slice(-300) ?? ''
    throw cannotFollow(`its ${type} file system cannot be mounted here: ${reason}`)
  }
  const owned = begun.move()
  return {
    ...createFolderSource(`/proc/${pid}/root${mountPoint}`),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** With its end, where there is one. */
async function firstLine({ output }: Filter): Promise<string> {
  let said = ''
  for await (const bytes of output) {
    said += Buffer.from(bytes).toString('utf8')
    if (said.includes('\n')) break
  }
  return said
}

/** Nobody changes what lies in the folder: between a look and an open there is no race. */
export function createFolderSource(folder: string): TreeSource {
  const real = (path: string) => `${folder}${path}`
  const openFile = (path: string) =>
    open(real(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  return {
    look: (path) => look(real(path)),
    list: async (path, most) => {
      const names: string[] = []
      for await (const { name } of await opendir(real(path))) {
        if (names.length >= most) break
        names.push(name)
      }
      return names
    },
    read: async (path, maxBytes) => {
      await using file = await openFile(path)
      const { buffer, bytesRead } = await file.read(new Uint8Array(maxBytes), 0, maxBytes, 0)
      return buffer.subarray(0, bytesRead)
    },
    copy: async (path, target, position, maxBytes, signal) => {
      await using file = await openFile(path)
      return await copyFile(file, target, { path, position, maxBytes, signal })
    },
  }
}

async function look(path: string): Promise<TreeNode | undefined> {
  try {
    const stats = await lstat(path)
    if (stats.isSymbolicLink()) return { kind: 'link', target: await readlink(path) }
    if (stats.isFile()) return { kind: 'file', sizeBytes: stats.size }
    return { kind: stats.isDirectory() ? 'folder' : 'other' }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(systemErrorCode(error) ?? '')) {
      return undefined
    }
    throw error
  }
}

interface Copy {
  readonly path: string
  readonly position: number
  readonly maxBytes: number
  readonly signal: AbortSignal
}

async function copyFile(
  file: FileHandle,
  target: FileHandle,
  { path, position, maxBytes, signal }: Copy,
): Promise<number> {
  const buffer = Buffer.alloc(MiB)
  for (let length = 0; ; ) {
    throwIfAborted(signal)
    const { bytesRead } = await file.read(buffer, 0, buffer.length, length)
    if (bytesRead === 0) return length
    if (length + bytesRead > maxBytes) {
      throw cannotFollow(`${path} has more than ${maxBytes} bytes`)
    }
    await writeWhole(target, buffer.subarray(0, bytesRead), position + length)
    length += bytesRead
  }
}
