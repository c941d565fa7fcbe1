// SPDX-License-Identifier: Apache-2.0
// Owns reading a FAT file system at an offset of a disk with mtools: nothing is mounted, no partition
// node is needed. Writes nothing.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentError } from '../core/errors.ts'
import type { Exec } from '../system/exec.ts'

export interface FatReader {
  /** Paths of all files, `EFI/BOOT/BOOTX64.EFI`, in the order of the directories. */
  listFiles(signal?: AbortSignal): Promise<string[]>
  /** The first `maxBytes` of a file. */
  readFile(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array>
}

/** mdir's complaint about a root directory without entries. */
const EMPTY = 'File "::" not found'

/** @param offset of the file system on the whole disk, bytes */
export function createFatReader(exec: Exec, devicePath: string, offset: number): FatReader {
  const drive = `${devicePath}@@${offset}`
  // the checks want a floppy's geometry
  const env = { MTOOLS_SKIP_CHECK: '1' }
  return {
    listFiles: async (signal) => {
      const { stdout, stderr, exitCode } = await exec(['mdir', '-/', '-b', '-i', drive, '::'], {
        env,
        okExitCodes: [0, 1],
        ...(signal ? { signal } : {}),
      })
      if (exitCode === 0 || stderr.includes(EMPTY)) return parseListing(stdout)
      throw new AgentError(
        'ProcessError',
        `mdir cannot read a FAT file system at offset ${offset} of ${devicePath}: ${stderr.trim().slice(-300)}`,
      )
    },
    readFile: async (path, maxBytes, signal) => {
      const folder = await mkdtemp(join(tmpdir(), 'ironswarm-fat-'))
      try {
        const copy = join(folder, 'file')
        await exec(['mcopy', '-n', '-i', drive, `::/${path}`, copy], {
          env,
          ...(signal ? { signal } : {}),
        })
        await using handle = await open(copy)
        const { buffer, bytesRead } = await handle.read(new Uint8Array(maxBytes), 0, maxBytes, 0)
        return buffer.subarray(0, bytesRead)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  }
}

/** Lines `::/EFI/BOOT/BOOTX64.EFI`; directories end with a slash. */
export function parseListing(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('::/') && !line.endsWith('/'))
    .map((line) => line.slice('::/'.length))
}
