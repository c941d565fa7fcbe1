// SPDX-License-Identifier: Apache-2.0
// Owns the proof that a disk was erased: markers are written before and looked for afterwards, at their places. Does not
// erase, and does not choose disks.
import { randomFill } from 'node:crypto'
import { promisify } from 'node:util'
import { throwIfAborted } from '../../../core/deadline.ts'
import { AgentError } from '../../../core/errors.ts'
import { formatBytes, MiB } from '../../../core/units.ts'
import { allocateAligned } from '../../../disk/aligned-pool.ts'
import { type BlockDevice, openBlockDevice } from '../../../disk/block-device.ts'
import type { EraseOptions } from '../../../disk/erase.ts'

/** `sample`: 64 places of the disk · `full`: one in each MiB, and afterwards every byte is read · `off` */
export const VERIFICATIONS = ['sample', 'full', 'off'] as const
export type Verification = (typeof VERIFICATIONS)[number]

/** What a disk has done to itself. */
export interface Erasure {
  /** In words, with what the drive says of it. */
  readonly how: string
  /** By the standard, or by what the drive says of itself: other bytes than zeros are then not erased ones. */
  readonly promisesZeros: boolean
}

/** What lies on the disk to be gone later. */
export interface Markers {
  readonly verification: Exclude<Verification, 'off'>
  readonly base: Uint8Array
  /** Ascending; of `full` they follow from the size. */
  readonly offsets: readonly number[] | 'each MiB'
}

/** Of one marker; the largest sector that disks have. */
const MARKER_BYTES = 4096
/** Of which each carries its place, so that a smaller rest of a marker is found too. */
const SECTOR_BYTES = 512
const SAMPLES = 64

const fillRandomly = promisify<Uint8Array, Uint8Array>(randomFill)

/**
 * Writes markers, and brings them to the medium. They are of random bytes, which no drive can pack or share.
 * @throws BlockDeviceError, ImageWriteError, TargetInUseError, DeviceNotFound; BlockDeviceEraseError for a disk smaller
 *   than one
 */
export async function writeMarkers(
  path: string,
  verification: Markers['verification'],
  { root, log, signal }: EraseOptions,
): Promise<Markers> {
  await using device = await openBlockDevice(path, { mode: 'write', root, log })
  const { sizeBytes } = device.geometry
  if (sizeBytes < MARKER_BYTES) {
    throw new AgentError('BlockDeviceEraseError', `${path} has ${sizeBytes} bytes: no marker fits`)
  }
  const base = new Uint8Array(MARKER_BYTES)
  await fillRandomly(base)
  const offsets = verification === 'full' ? 'each MiB' : await sampleOffsets(sizeBytes)
  const markers: Markers = { verification, base, offsets }
  const block = allocateAligned(MARKER_BYTES)
  for (const offset of placesOf(markers, sizeBytes)) {
    throwIfAborted(signal)
    block.set(markerAt(markers, offset))
    await device.write(offset, block)
  }
  await device.sync()
  return markers
}

/** Evenly over the disk, each at a random place of its share; the first and the last are the ends. */
async function sampleOffsets(sizeBytes: number): Promise<number[]> {
  const places = Math.floor(sizeBytes / MARKER_BYTES)
  const count = Math.min(SAMPLES, places)
  const random = new Uint32Array(count)
  await fillRandomly(new Uint8Array(random.buffer))
  const offsets = [...random].map((value, i) => {
    const [from, to] = [Math.floor((i * places) / count), Math.floor(((i + 1) * places) / count)]
    const place = i === 0 ? 0 : i === count - 1 ? places - 1 : from + (value % (to - from))
    return place * MARKER_BYTES
  })
  return offsets
}

function* placesOf({ offsets }: Markers, sizeBytes: number): Generator<number> {
  if (offsets !== 'each MiB') return yield* offsets
  for (let at = 0; at + MARKER_BYTES <= sizeBytes; at += MiB) yield at
}

function markerAt({ base }: Markers, offset: number): Uint8Array {
  const marker = Uint8Array.from(base)
  const view = new DataView(marker.buffer)
  for (let at = 0; at < MARKER_BYTES; at += SECTOR_BYTES) {
    view.setBigUint64(at, BigInt(offset + at))
  }
  return marker
}

interface CheckOptions extends EraseOptions {
  /** What was done leaves zeros: anything else is not erased. */
  readonly isZeroExpected: boolean
  /** Called with the bytes of each block that was read for `full`. */
  readonly onBytes: (bytes: number) => void
}

/**
 * Reads the disk back and says in a sentence what was found.
 * @throws BlockDeviceEraseError for a marker that is still there, and for bytes that should be zero and are not
 */
export async function checkMarkers(
  path: string,
  markers: Markers,
  options: CheckOptions,
): Promise<string> {
  const { root, log, exec, signal, isZeroExpected, onBytes } = options
  // where O_DIRECT is refused, the page cache has the markers still
  await exec(['blockdev', '--flushbufs', path], { signal }).catch(() => undefined)
  await using device = await openBlockDevice(path, { mode: 'read', root, log })
  const found: Findings = { markers: 0, left: [], zeros: 0 }
  const readBytes = markers.verification === 'full' ? MiB : MARKER_BYTES
  for (const [offset, block] of blocksToRead(markers, device, readBytes)) {
    throwIfAborted(signal)
    await device.read(offset, block)
    if (isZeroExpected) assertZero(path, offset, block)
    lookForMarker(markers, offset, block, found)
    if (markers.verification === 'full') onBytes(block.length)
  }
  if (found.left.length > 0) {
    throw new AgentError(
      'BlockDeviceEraseError',
      `${found.left.length} of ${found.markers} markers that were written to ${path} before are still there, the first at ` +
        `byte ${found.left[0]}: it has not been erased, whatever the drive says`,
    )
  }
  const whole = `all ${formatBytes(device.geometry.sizeBytes)} read as zeros`
  if (markers.verification === 'full' && isZeroExpected) return `verified: ${whole}`
  return `verified: ${found.markers} markers are gone, ${found.zeros} of their places read as zeros`
}

interface Findings {
  markers: number
  zeros: number
  /** Where they are. */
  readonly left: number[]
}

function* blocksToRead(
  { offsets }: Markers,
  device: BlockDevice,
  readBytes: number,
): Generator<readonly [number, Uint8Array]> {
  const { sizeBytes } = device.geometry
  const buffer = allocateAligned(readBytes)
  if (offsets !== 'each MiB') {
    for (const offset of offsets) yield [offset, buffer]
    return
  }
  for (let at = 0; at < sizeBytes; at += readBytes) {
    yield [at, buffer.subarray(0, Math.min(readBytes, sizeBytes - at))]
  }
}

/** Every sector of the marker at the beginning of the block: a rest of one is content that was kept. */
function lookForMarker(markers: Markers, offset: number, block: Uint8Array, found: Findings): void {
  if (block.length < MARKER_BYTES) return
  found.markers++
  const marker = markerAt(markers, offset)
  const place = Buffer.from(block.buffer, block.byteOffset, MARKER_BYTES)
  if (place.every((byte) => byte === 0)) found.zeros++
  for (let at = 0; at < MARKER_BYTES; at += SECTOR_BYTES) {
    const [a, b] = [place.subarray(at, at + SECTOR_BYTES), marker.subarray(at, at + SECTOR_BYTES)]
    if (Buffer.compare(a, b) !== 0) continue
    found.left.push(offset + at)
    return
  }
}

function assertZero(path: string, offset: number, block: Uint8Array): void {
  const at = block.findIndex((byte) => byte !== 0)
  if (at < 0) return
  throw new AgentError(
    'BlockDeviceEraseError',
    `${path} does not read as zeros at byte ${offset + at} after it was erased; the disk or another writer to it is suspect`,
  )
}
