// SPDX-License-Identifier: Apache-2.0
// Owns what befalls images that are unpacked: how they are packed and served, and when a disk loses a part of them. Does
// not say what comes of it.
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { zstdCompressSync } from 'node:zlib'
import type { JsonObject } from '../../../agent/core/json.ts'
import type { DeployLab } from '../image/deploy-lab.ts'
import type { Arrangement } from './failure-case.ts'

const run = promisify(execFile)

/** What the origin serves is this from now on, and its hash the expected one. */
export function serve({ origin }: DeployLab, bytes: Uint8Array): JsonObject {
  origin.replace(Buffer.from(bytes))
  return { os_hash_value: createHash('sha256').update(bytes).digest('hex') }
}

export async function packed(
  lab: DeployLab,
  pack: (bytes: Uint8Array) => Uint8Array = zstdCompressSync,
): Promise<JsonObject> {
  return serve(lab, pack(await readFile(lab.image.path)))
}

export async function asQcow2(
  lab: DeployLab,
  change: (file: Buffer) => void = () => undefined,
  options: readonly string[] = [],
) {
  const path = `${lab.image.path}.qcow2`
  await run('qemu-img', ['convert', ...options, '-f', 'raw', '-O', 'qcow2', lab.image.path, path])
  const bytes = await readFile(path)
  change(bytes)
  return { fields: { disk_format: 'qcow2', ...serve(lab, bytes) } }
}

/** A container that is packed in a file; the fields have its hash, and its name where `driver` is one. */
export async function asPackedContainer(
  lab: DeployLab,
  {
    driver = 'qcow2',
    options = [],
    change = () => undefined,
    pack = zstdCompressSync,
  }: PackedContainerOptions = {},
): Promise<JsonObject> {
  const path = `${lab.image.path}.${driver}`
  await run('qemu-img', ['convert', ...options, '-f', 'raw', '-O', driver, lab.image.path, path])
  const bytes = await readFile(path)
  change(bytes)
  return { disk_format: driver, ...serve(lab, pack(bytes)) }
}

export interface PackedContainerOptions {
  /** Of qemu-img(1). */
  readonly driver?: 'qcow2' | 'vhdx'
  readonly options?: readonly string[]
  /** Of the container, before it is packed. */
  readonly change?: (file: Buffer) => void
  readonly pack?: (bytes: Uint8Array) => Uint8Array
}

/** One with compressed clusters, from a server that gives no parts of it: the file is kept until it is unpacked. */
export async function asKept(lab: DeployLab) {
  lab.origin.faults.ignoreRange = true
  return await asQcow2(lab, () => undefined, ['-c'])
}

export async function zeroOut({ image }: DeployLab, offset: number, length: number): Promise<void> {
  await using file = await open(image.path, 'r+')
  await file.write(Buffer.alloc(length), 0, length, offset)
}

/** When the first reading back begins. */
export function atReadBack(act: () => void): NonNullable<Arrangement['onProgress']> {
  let isDone = false
  return ({ step }) => {
    if (step !== 'read-back' || isDone) return
    isDone = true
    act()
  }
}

/** Of a file that is kept, at the second reading back: what was unpacked is on the disk. */
export function whenUnpacked(act: () => void): NonNullable<Arrangement['onProgress']> {
  let isUnpacked = false
  return ({ step }) => {
    if (step === 'unpack') isUnpacked = true
    if (step !== 'read-back' || !isUnpacked) return
    isUnpacked = false
    act()
  }
}

/** Within the progress event, so that it has happened before the next step of the agent. */
export function overwriteNow({ disk }: DeployLab, offset: number): void {
  const fd = openSync(disk.backingFile, 'r+')
  writeSync(fd, randomBytes(512), 0, 512, offset)
  closeSync(fd)
}
