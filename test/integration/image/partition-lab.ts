// SPDX-License-Identifier: Apache-2.0
// Owns what tests of partition images share: a root file system, its origin, a disk of any size, and what other
// programs say of the disk afterwards.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import type { JsonObject } from '../../../agent/core/json.ts'
import type { DiskImage } from '../../support/disk-image.ts'
import { createHttpOrigin, type HttpOrigin } from '../../support/http-origin.ts'
import {
  createLoopDevice,
  type LoopDevice,
  type LoopDeviceOptions,
} from '../../support/loop-device.ts'
import { makeRootImage } from '../../support/root-image.ts'
import { imageInfoOf, MiB } from './deploy-lab.ts'

const run = promisify(execFile)

export interface PartitionLab extends AsyncDisposable {
  readonly image: DiskImage
  readonly origin: HttpOrigin
  readonly disk: LoopDevice
  /** image_info as a conductor 21.4 sends it for a partition image (contract 5.2). */
  imageInfo(fields?: JsonObject): JsonObject
}

export async function createPartitionLab(
  disk: Partial<LoopDeviceOptions> = {},
  imageBytes = 16 * MiB,
): Promise<PartitionLab> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-partition-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const image = await makeRootImage(join(folder, 'root.ext4'), imageBytes)
  const origin = stack.use(await createHttpOrigin({ path: image.path }))
  const loop = stack.use(await createLoopDevice({ sizeBytes: 1024 * MiB, ...disk }))
  const all = stack.move()
  return {
    image,
    origin,
    disk: loop,
    imageInfo: (fields = {}) => ({
      ...imageInfoOf('root.ext4', image, origin.url),
      kernel: null,
      ramdisk: null,
      root_gb: '0',
      root_mb: 64,
      swap_mb: 0,
      ephemeral_mb: 0,
      ephemeral_format: null,
      preserve_ephemeral: false,
      image_type: 'partition',
      deploy_boot_mode: 'uefi',
      boot_option: 'local',
      disk_label: 'gpt',
      ...fields,
    }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** What blkid finds at an offset of the disk itself. */
export async function probeAt(
  path: string,
  { offset, length }: { offset: number; length: number },
): Promise<Record<string, string>> {
  const { stdout } = await run('blkid', [
    '-p',
    '-o',
    'export',
    `--offset=${offset}`,
    `--size=${length}`,
    path,
  ])
  return Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split('=') as [string, string]),
  )
}

/** Runs a program on a loop device over a part of the disk; resolves to what it printed. */
export async function onWindow(
  path: string,
  { offset, length }: { offset: number; length: number },
  argv: readonly [string, ...string[]],
): Promise<string> {
  const { stdout } = await run('losetup', [
    '--find',
    '--show',
    '--read-only',
    `--offset=${offset}`,
    `--sizelimit=${length}`,
    path,
  ])
  const loop = stdout.trim()
  try {
    const [program, ...args] = argv
    return (await run(program, [...args, loop])).stdout
  } finally {
    await run('losetup', ['--detach', loop])
  }
}

/** SHA-256 of a part of the disk. */
export async function sha256Of(
  path: string,
  { offset, length }: { offset: number; length: number },
): Promise<string> {
  await using file = await open(path)
  const hash = createHash('sha256')
  for (let at = 0; at < length; at += MiB) {
    const part = Buffer.alloc(Math.min(MiB, length - at))
    await file.read(part, 0, part.length, offset + at)
    hash.update(part)
  }
  return hash.digest('hex')
}

/** Loop devices whose backing file is this disk. */
export async function loopsOver(path: string): Promise<string> {
  return (await run('losetup', ['--list', '--noheadings', '--output=NAME,BACK-FILE'])).stdout
    .split('\n')
    .filter((line) => line.trim().endsWith(` ${path}`))
    .join('\n')
}

export async function bytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  await using file = await open(path)
  const bytes = Buffer.alloc(length)
  await file.read(bytes, 0, length, offset)
  return bytes
}

/** As Ironic's conductor makes it: base64 of a gzipped ISO. */
export async function makeConfigDrive(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-configdrive-'))
  try {
    const tree = join(folder, 'tree/openstack/latest')
    await mkdir(tree, { recursive: true })
    await writeFile(join(tree, 'meta_data.json'), '{"uuid":"1234"}')
    const iso = join(folder, 'iso')
    const options = ['-quiet', '-V', 'config-2', '-J', '-r', '-o', iso]
    await run('genisoimage', [...options, join(folder, 'tree')])
    return gzipSync(await readFile(iso)).toString('base64')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
