// SPDX-License-Identifier: Apache-2.0
// Owns the failures of the target disk.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { MiB } from '../image/deploy-lab.ts'
import type { FailureCase } from './failure-case.ts'

const run = promisify(execFile)

export const DISK_CASES: readonly FailureCase[] = [
  {
    name: 'a mounted disk',
    arrange: async ({ disk, folder }) => {
      const mountPoint = join(folder, 'mnt')
      await mkdir(mountPoint)
      await run('mkfs.ext4', ['-q', '-F', disk.path])
      // read-only: a file system writes by itself when it is mounted, and the agent may not be blamed for it
      await run('mount', ['-o', 'ro', disk.path, mountPoint])
      return { undo: async () => void (await run('umount', [mountPoint])) }
    },
    error: 'TargetInUseError',
    details: /is mounted at .*\/mnt/,
    isUntouched: true,
  },
  {
    name: 'a disk somebody has claimed',
    arrange: async ({ disk }) => {
      const claim = await open(disk.path, constants.O_RDWR | constants.O_EXCL)
      return { undo: () => claim.close() }
    },
    error: 'TargetInUseError',
    details: /in use/,
    isUntouched: true,
  },
  {
    name: 'a disk that is not there',
    arrange: async ({ folder }) => ({ devicePath: join(folder, 'nothing') }),
    error: 'DeviceNotFound',
    details: /nothing/,
    isUntouched: true,
  },
  {
    name: 'a disk that forgets what was written to it',
    arrange: ({ disk }) => ({
      onProgress: ({ step }) => {
        if (step === 'read-back') overwriteNow(disk.backingFile, 5 * MiB, randomBytes(512))
      },
    }),
    error: 'ReadBackMismatchError',
    details: /Bytes \d+–\d+ do not read back as they were written.*see dmesg/,
  },
]

/** Within the progress event, so that it has happened before the next step of the agent. */
function overwriteNow(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}
