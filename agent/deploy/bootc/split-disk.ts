// SPDX-License-Identifier: Apache-2.0
// Owns a disk as somebody else's installer sees it: whole and writable, while its first and last MiB lie in memory. So an
// installer divides it, makes file systems and installs a boot loader, and nothing on the disk boots. Does not install.
/// <reference lib="esnext.disposable" />
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError, messageOf } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import { createHeldBack, type HeldBack } from '../../disk/hold-back.ts'
import { bootRanges } from '../../disk/partition-table/partitioner.ts'
import type { Exec } from '../../system/exec.ts'

export interface SplitDisk extends AsyncDisposable {
  /** A loop device, which has partitions, over a mapped one, which has none. */
  readonly path: string
  /** Takes the device away and gives what it has in memory. Throws BlockDeviceError where somebody still holds it. */
  end(): Promise<HeldBack>
}

export interface SplitDiskDeps {
  readonly exec: Exec
  /** In memory, where only root may look. */
  readonly folder: string
}

/** Fixed, so that one of an earlier process is found. */
const NAME = 'ironswarm-bootc'
const TIMEOUT_MS = 30_000
/** Linux's unit of mapped devices, whatever the sectors of the disk. */
const UNIT_BYTES = 512

/**
 * Maps it. Nobody else may have the disk open for himself, and nobody can meanwhile.
 * @throws AgentError BlockDeviceError
 */
export async function openSplitDisk(
  geometry: DeviceGeometry,
  { exec, folder }: SplitDiskDeps,
): Promise<SplitDisk> {
  const ranges = bootRanges(geometry)
  const directory = await mkdtemp(join(folder, 'bootc-'))
  const kept: Uint8Array[] = []
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  try {
    await endEarlier(exec)
    const files = ranges.map((_, i) => join(directory, `part-${i}`))
    for (const [i, { length }] of ranges.entries()) await makeFile(files[i] as string, length)
    // read once nothing writes to them any more, and before they go
    stack.defer(async () => {
      for (const file of files) kept.push(await readFile(file))
    })
    const loops: string[] = []
    for (const file of files) loops.push(await attach(stack, exec, file, geometry))
    const input = mapOf(geometry, ranges, loops)
    await exec(['dmsetup', 'create', NAME, '--noudevrules', '--noudevsync'], { input })
    stack.defer(() => unmap(exec))
    const path = await attach(stack, exec, await mappedNode(exec), geometry, '--partscan')
    const owned = stack.move()
    const dispose = () => owned.disposeAsync()
    const end = async () => {
      await dispose().catch((error: unknown) => {
        throw asDiskError(geometry.path, error)
      })
      return heldOf(ranges, kept)
    }
    return { path, end, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    throw asDiskError(geometry.path, error)
  }
}

async function makeFile(path: string, length: number): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.truncate(length)
}

/** A loop device with the sectors of the disk, until the stack ends. */
async function attach(
  stack: AsyncDisposableStack,
  exec: Exec,
  file: string,
  { logicalSectorBytes }: DeviceGeometry,
  ...options: readonly string[]
): Promise<string> {
  const sectors = `--sector-size=${logicalSectorBytes}`
  const { stdout } = await exec(['losetup', '--find', '--show', ...options, sectors, file])
  const path = stdout.trim()
  stack.defer(async () => {
    await exec(['losetup', '--detach', path], { timeoutMs: TIMEOUT_MS })
  })
  return path
}

/** What lies in memory, and between that the disk (Documentation/admin-guide/device-mapper/linear.rst). */
function mapOf(geometry: DeviceGeometry, ranges: readonly DiskRange[], loops: readonly string[]) {
  const lines: string[] = []
  let at = 0
  const line = (end: number, path: string, from: number) => {
    if (end <= at) return
    const [start, length, offset] = [at, end - at, from].map((bytes) => bytes / UNIT_BYTES)
    lines.push(`${start} ${length} linear ${path} ${offset}\n`)
    at = end
  }
  for (const [i, range] of ranges.entries()) {
    line(range.offset, geometry.path, at)
    line(endOf(range), loops[i] as string, 0)
  }
  line(geometry.sizeBytes, geometry.path, at)
  return lines.join('')
}

function heldOf(ranges: readonly DiskRange[], kept: readonly Uint8Array[]): HeldBack {
  const held = createHeldBack(ranges)
  for (const [i, { offset }] of ranges.entries()) {
    held.take({ offset, data: kept[i] as Uint8Array, from: 'file' })
  }
  return held
}

/** The kernel's own node; udev makes and moves the named ones when it comes to it. */
async function mappedNode(exec: Exec): Promise<string> {
  const argv = ['dmsetup', 'info', '-c', '--noheadings', '-o', 'blkdevname', NAME] as const
  return `/dev/${(await exec(argv)).stdout.trim()}`
}

/** What probes new devices may have it open for a moment. */
async function unmap(exec: Exec): Promise<void> {
  await exec(['dmsetup', 'remove', '--retry', NAME], { timeoutMs: TIMEOUT_MS })
}

/** The driver, and nothing of a process that was killed. */
async function endEarlier(exec: Exec): Promise<void> {
  await exec(['modprobe', 'dm_mod']).catch(() => undefined)
  const { stdout } = await exec(['dmsetup', 'ls'])
  if (!stdout.split('\n').some((row) => row.split('\t')[0] === NAME)) return
  const mapped = await mappedNode(exec)
  const associated = ['losetup', '--noheadings', '--output', 'NAME,BACK-FILE', '--list'] as const
  for (const row of (await exec(associated)).stdout.split('\n')) {
    const [loop, file] = row.trim().split(/\s+/)
    if (loop && file === mapped) await exec(['losetup', '--detach', loop])
  }
  await unmap(exec)
}

function asDiskError(path: string, error: unknown): AgentError {
  return new AgentError(
    'BlockDeviceError',
    `${path} cannot be put before an installer, or taken back from it: ${messageOf(error)}`,
    { cause: error },
  )
}
