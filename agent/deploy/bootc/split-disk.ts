// SPDX-License-Identifier: Apache-2.0
// Owns a disk as somebody else's installer sees it: whole and writable, while its first and last MiB lie in memory. So an
// installer divides it, makes file systems and installs a boot loader, and nothing on the disk boots. Does not install.
/// <reference lib="esnext.disposable" />
import { randomUUID } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError, messageOf } from '../../core/errors.ts'
import { type DiskRange, endOf } from '../../core/extent.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import { createHeldBack, type HeldBack } from '../../disk/hold-back.ts'
import { bootRanges } from '../../disk/partition-table/partitioner.ts'
import { openLoopDevice } from '../../disk/partitioning/loop-window.ts'
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
 * Maps it. Nobody else may have the disk open for himself, and nobody can meanwhile. Each layer goes when nobody has it open
 * any more, so all of it goes with this process, or with the installer that outlives it.
 * @throws AgentError BlockDeviceError
 */
export async function openSplitDisk(
  geometry: DeviceGeometry,
  { exec, folder }: SplitDiskDeps,
): Promise<SplitDisk> {
  const ranges = bootRanges(geometry)
  const kept: Uint8Array[] = []
  await using stack = new AsyncDisposableStack()
  try {
    await endEarlier(exec)
    const parts: MemoryPart[] = []
    for (const { length } of ranges) parts.push(stack.use(await openMemoryPart(folder, length)))
    // read once nothing writes to them any more
    stack.defer(async () => {
      for (const part of parts) kept.push(await part.read())
    })
    const loops: string[] = []
    for (const part of parts) {
      loops.push(await attach(stack, exec, geometry, part.path))
      await part.unlink()
    }
    const input = mapOf(geometry, ranges, loops)
    await exec(['dmsetup', 'create', NAME, '--noudevrules', '--noudevsync'], { input })
    stack.defer(() => unmap(exec))
    const path = await attach(stack, exec, geometry, '--partscan', await mappedNode(exec))
    // with its last user, which is the loop device
    await exec(['dmsetup', 'remove', '--deferred', NAME])
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

interface MemoryPart extends AsyncDisposable {
  readonly path: string
  /** Takes the name away; the content stays as long as somebody has it open. */
  unlink(): Promise<void>
  read(): Promise<Uint8Array>
}

/** Zeros. */
async function openMemoryPart(folder: string, length: number): Promise<MemoryPart> {
  const path = join(folder, `bootc-${randomUUID()}`)
  const file = await open(path, 'wx+', 0o600)
  const unlink = () => rm(path, { force: true })
  const dispose = async () => {
    await file.close()
    await unlink()
  }
  const read = async () => {
    const bytes = Buffer.alloc(length)
    await file.read(bytes, 0, length, 0)
    return bytes
  }
  try {
    await file.truncate(length)
    return { path, unlink, read, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** A loop device with the sectors of the disk, until the stack ends. */
async function attach(
  stack: AsyncDisposableStack,
  exec: Exec,
  { logicalSectorBytes }: DeviceGeometry,
  ...options: readonly string[]
): Promise<string> {
  const sectors = `--sector-size=${logicalSectorBytes}`
  return stack.use(await openLoopDevice(exec, [sectors, ...options])).path
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

/** What probes new devices may have it open for a moment. One that has gone by itself is as good. */
async function unmap(exec: Exec): Promise<void> {
  try {
    await exec(['dmsetup', 'remove', '--retry', NAME], { timeoutMs: TIMEOUT_MS })
  } catch (error) {
    if (await isMapped(exec)) throw error
  }
}

async function isMapped(exec: Exec): Promise<boolean> {
  const { stdout } = await exec(['dmsetup', 'ls'])
  return stdout.split('\n').some((row) => row.split('\t')[0] === NAME)
}

/**
 * The driver, and nothing of an earlier process: what it was killed before it had a loop device over, or what an installer
 * that hangs still has open.
 */
async function endEarlier(exec: Exec): Promise<void> {
  await exec(['modprobe', 'dm_mod']).catch(() => undefined)
  if (await isMapped(exec)) await unmap(exec)
}

function asDiskError(path: string, error: unknown): AgentError {
  return new AgentError(
    'BlockDeviceError',
    `${path} cannot be put before an installer, or taken back from it: ${messageOf(error)}`,
    { cause: error },
  )
}
