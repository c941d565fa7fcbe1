// SPDX-License-Identifier: Apache-2.0
// Owns loop devices of tests: made on a sparse file in a temporary directory, taken away at the end.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface LoopDevice extends AsyncDisposable {
  /** `/dev/loopN`. */
  readonly path: string
  /** The sparse file behind it. */
  readonly backingFile: string
}

export interface LoopDeviceOptions {
  readonly sizeBytes: number
  /** Logical sector size; 512 unless given, 4096 for a 4Kn disk. */
  readonly sectorBytes?: 512 | 4096
  /** Where the backing file goes: a full file system makes a disk with write errors. */
  readonly directory?: string
  readonly readOnly?: boolean
}

/** Why loop devices cannot be had here; undefined where they can. */
export function whyNoLoopDevices(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (!existsSync('/dev/loop-control')) return 'no /dev/loop-control'
  return undefined
}

/** True if tests with loop devices can run; else prints why they are skipped. */
export function hasLoopDevices(tests: string): boolean {
  const reason = whyNoLoopDevices()
  if (reason !== undefined) console.log(`skipped: ${tests}: ${reason}`)
  return reason === undefined
}

/** A loop device full of zeros. `await using` detaches it and removes its file. */
export async function createLoopDevice(options: LoopDeviceOptions): Promise<LoopDevice> {
  const folder = await mkdtemp(join(options.directory ?? tmpdir(), 'ironswarm-loop-'))
  const backingFile = join(folder, 'disk')
  try {
    await using file = await open(backingFile, 'w')
    await file.truncate(options.sizeBytes)
    const { stdout } = await run('losetup', [
      '--find',
      '--show',
      `--sector-size=${options.sectorBytes ?? 512}`,
      ...(options.readOnly ? ['--read-only'] : []),
      backingFile,
    ])
    const path = stdout.trim()
    return {
      path,
      backingFile,
      [Symbol.asyncDispose]: async () => {
        await detachLoop(path, backingFile)
        await rm(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Who looks through all disks lets go of each soon; whoever keeps one longer is not waited for. */
const LET_GO_MS = 10_000

/**
 * Detaches a loop device from its file. The kernel puts that off while somebody has the device open, as mkfs.btrfs has
 * every one of the machine for a moment; the file is then in use still, and what it lies on cannot be unmounted.
 */
export async function detachLoop(path: string, backingFile: string): Promise<void> {
  // partx nodes first: they hold the device
  await run('partx', ['--delete', path]).catch(() => undefined)
  await run('losetup', ['--detach', path])
  const attribute = `/sys/class/block/${basename(path)}/loop/backing_file`
  for (const end = performance.now() + LET_GO_MS; performance.now() < end; await delay(20)) {
    // there is none any more, or that of who has the device now
    const file = await readFile(attribute, 'utf8').catch(() => '')
    if (!file.startsWith(backingFile)) return
  }
}
