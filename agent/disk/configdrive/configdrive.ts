// SPDX-License-Identifier: Apache-2.0
// Owns the config drive (contract 5.3.8): decode what Ironic sent, find or make its partition, write it.
// By byte offsets of the whole disk: no partition nodes, no mounts. Does not fetch; it is given a function.
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { AgentError, isAgentError, messageOf, systemErrorCode } from '../../core/errors.ts'
import { endOf } from '../../core/extent.ts'
import { formatBytes, MiB } from '../../core/units.ts'
import type { Exec } from '../../system/exec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { DiskBytes } from '../block-device.ts'
import { probeFileSystem } from '../file-system-probe.ts'
import {
  addPartition,
  fixBackupGpt,
  listPartitions,
  type Partition,
} from '../partition-table/partitioner.ts'
import { needsRebuild, type ReadableBytes, rebuildAsVfat } from './vfat.ts'

/** Largest config drive of a whole-disk image, and the size of a new partition for it. */
const MAX_CONFIG_DRIVE_BYTES = 64 * MiB
/** base64 of the largest gzip of it, with line ends. */
const MAX_TEXT_LENGTH = 96 * MiB
const LABEL = 'config-2'
/** Written and compared at once, bytes. */
const STEP_BYTES = MiB

/** Fetches a config drive url; rejects for a status >= 400 and for more than `MAX_TEXT_LENGTH` bytes. */
export type FetchConfigDrive = (url: string) => Promise<Uint8Array>

const gunzipAsync = promisify(gunzip)

/**
 * The file system image in what Ironic sent: base64 of a gzip, or the http(s) url of one, or of the raw
 * image. Throws DeploymentError if it is neither, or larger than 64 MiB.
 */
export async function decodeConfigDrive(
  text: string,
  fetchUrl: FetchConfigDrive,
): Promise<Uint8Array> {
  if (!/^https?:\/\//i.test(text)) return await decompress(fromBase64(text))
  const body = await fetchOrThrow(text, fetchUrl)
  if (isGzip(body)) return await decompress(body)
  return isBase64Text(body)
    ? await decompress(fromBase64(Buffer.from(body).toString('latin1')))
    : checkSize(body)
}

async function fetchOrThrow(url: string, fetchUrl: FetchConfigDrive): Promise<Uint8Array> {
  try {
    return await fetchUrl(url)
  } catch (error) {
    if (isAgentError(error, 'CancelledError')) throw error
    throw new AgentError('DeploymentError', `cannot fetch the config drive: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** Python's lenient way: what is not of the alphabet is skipped. */
function fromBase64(text: string): Buffer {
  if (text.length > MAX_TEXT_LENGTH) throw tooLarge(`${formatBytes(text.length)} of base64`)
  return Buffer.from(text, 'base64')
}

/** Decided by the beginning: no file system begins with a page of letters. */
function isBase64Text(body: Uint8Array): boolean {
  const start = Buffer.from(body.subarray(0, 4096)).toString('latin1')
  return /^[A-Za-z0-9+/=\s]+$/.test(start)
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

async function decompress(bytes: Uint8Array): Promise<Uint8Array> {
  if (!isGzip(bytes)) {
    throw new AgentError(
      'DeploymentError',
      'the config drive is not a base64-encoded gzip; pass the output of `gzip -c image | base64`',
    )
  }
  try {
    return checkSize(await gunzipAsync(bytes, { maxOutputLength: MAX_CONFIG_DRIVE_BYTES }))
  } catch (error) {
    if (systemErrorCode(error) === 'ERR_BUFFER_TOO_LARGE') throw tooLarge('more than 64 MiB')
    if (isAgentError(error)) throw error
    throw new AgentError(
      'DeploymentError',
      `the gzip of the config drive is broken: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

function checkSize(image: Uint8Array): Uint8Array {
  if (image.length === 0) throw new AgentError('DeploymentError', 'the config drive is empty')
  if (image.length > MAX_CONFIG_DRIVE_BYTES) throw tooLarge(formatBytes(image.length))
  return image
}

function tooLarge(size: string): AgentError {
  return new AgentError(
    'DeploymentError',
    `the config drive has ${size}; at most ${formatBytes(MAX_CONFIG_DRIVE_BYTES)} are possible`,
  )
}

export interface WriteConfigDriveRequest {
  /** Open for writing, with the image on it. */
  readonly device: DiskBytes
  /** What {@link decodeConfigDrive} returned. */
  readonly image: Uint8Array
  readonly exec: Exec
  /** Option config_drive_rebuild: always as vfat. */
  readonly rebuild?: boolean
  readonly log?: Pick<Logger, 'info'>
}

export interface WrittenConfigDrive {
  readonly partition: Partition
  /** False: the image brought a partition labelled config-2, which was overwritten. */
  readonly isNewPartition: boolean
  readonly isRebuilt: boolean
}

/**
 * Puts the config drive into the partition labelled config-2, or a new one of 64 MiB, and reads it back.
 * On disks whose sectors are too large for its file system it is rebuilt as vfat `CONFIG-2`.
 * Throws DeploymentError (two such partitions, no room, not to be rebuilt), ImageWriteError,
 * ReadBackMismatchError.
 */
export async function writeConfigDrive(
  request: WriteConfigDriveRequest,
): Promise<WrittenConfigDrive> {
  const { device, exec } = request
  const image = checkSize(request.image)
  await fixBackupGpt(device)
  const existing = await findConfigPartition(device, exec)
  const partition =
    existing ?? (await addPartition(device, { sizeBytes: MAX_CONFIG_DRIVE_BYTES, name: LABEL }))
  const { logicalSectorBytes } = device.geometry
  const isRebuilt = request.rebuild === true || needsRebuild(image, logicalSectorBytes)
  const bytesWritten = await writeContent(request, partition, isRebuilt)
  const written = { partition, isNewPartition: existing === undefined, isRebuilt }
  request.log?.info(
    {
      device: device.geometry.path,
      partition: partition.number,
      offset: partition.range.offset,
      bytes: bytesWritten,
      is_new_partition: written.isNewPartition,
      is_rebuilt: isRebuilt,
    },
    'config drive written',
  )
  return written
}

/** Returns the bytes written. */
async function writeContent(
  { device, image, exec }: WriteConfigDriveRequest,
  partition: Partition,
  isRebuilt: boolean,
): Promise<number> {
  if (!isRebuilt) {
    const content: ReadableBytes = {
      sizeBytes: image.length,
      read: async (offset, target) => target.set(image.subarray(offset, offset + target.length)),
    }
    await writeAndCompare(device, partition, content)
    return image.length
  }
  await using vfat = await rebuildAsVfat({
    image,
    exec,
    sizeBytes: Math.min(partition.range.length, MAX_CONFIG_DRIVE_BYTES),
    sectorBytes: device.geometry.logicalSectorBytes,
  })
  await writeAndCompare(device, partition, vfat)
  return vfat.sizeBytes
}

async function findConfigPartition(device: DiskBytes, exec: Exec): Promise<Partition | undefined> {
  const found: Partition[] = []
  for (const partition of (await listPartitions(device)).partitions) {
    if (endOf(partition.range) > device.geometry.sizeBytes) continue
    const { label } = await probeFileSystem(exec, device, partition.range)
    if (label?.toLowerCase() === LABEL) found.push(partition)
  }
  if (found.length <= 1) return found[0]
  throw new AgentError(
    'DeploymentError',
    `the image has ${found.length} partitions labelled ${LABEL} ` +
      `(${found.map(({ number }) => number).join(', ')}); one at most can take the config drive`,
  )
}

async function writeAndCompare(
  device: DiskBytes,
  partition: Partition,
  content: ReadableBytes,
): Promise<void> {
  const { offset, length } = partition.range
  const { path } = device.geometry
  const { sizeBytes } = content
  if (sizeBytes > length) {
    throw new AgentError(
      'DeploymentError',
      `the config drive has ${sizeBytes} bytes, partition ${partition.number} of ${path} only ${length}`,
    )
  }
  const expected = new Uint8Array(STEP_BYTES)
  const actual = new Uint8Array(STEP_BYTES)
  for (let at = 0; at < sizeBytes; at += STEP_BYTES) {
    const part = expected.subarray(0, Math.min(STEP_BYTES, sizeBytes - at))
    await content.read(at, part)
    await device.write(offset + at, part)
  }
  await device.sync()
  for (let at = 0; at < sizeBytes; at += STEP_BYTES) {
    const part = expected.subarray(0, Math.min(STEP_BYTES, sizeBytes - at))
    const seen = actual.subarray(0, part.length)
    await content.read(at, part)
    await device.read(offset + at, seen)
    if (Buffer.compare(seen, part) === 0) continue
    throw new AgentError(
      'ReadBackMismatchError',
      `the config drive differs from what was written near offset ${offset + at} of ${path}`,
    )
  }
}
