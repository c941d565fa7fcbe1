// SPDX-License-Identifier: Apache-2.0
// Owns how a file that is not written as it is comes to the disk: kept and unpacked, or straight to the places of its
// clusters, and what of the disk either takes. Pure.
import { AgentError } from '../../core/errors.ts'
import type { DiskRange } from '../../core/extent.ts'
import { MiB, roundUp } from '../../core/units.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import type { DiskLayout } from '../../disk/partitioning/disk-layout.ts'
import type { PackedContainer } from '../formats/judge-file.ts'
import type { ArrivingClusters } from '../formats/qcow2/arriving/map-arriving.ts'
import type { ClusterMap } from '../formats/qcow2/straight/cluster-map.ts'
import { type InOrderFormat, isInOrder, type UnpackedFormat } from '../formats/unpackers.ts'
import { type KeptFileRequest, noRoomError, placeKeptFile, roomBehind } from './kept-file.ts'
import type { PlannedSource, PlannedTarget } from './plan-parts.ts'

/** How a file that is not written as it is comes to the disk. */
export type PlannedUnpacking = KeptUnpacking | InOrderUnpacking

interface Unpacking {
  /** What the image may take of the target's window. */
  readonly window: DiskRange
  /** The least that the unpacked image takes, bytes; 0 where nothing is known. */
  readonly leastBytes: number
  /** What is packed in the file, and unpacked in its turn; null for a raw disk, and for a file that is no packed one. */
  readonly container: PlacedContainer | null
}

/** A disk of its own that comes out of a packed file, and lies behind the image until it is unpacked. */
export interface PlacedContainer extends PackedContainer {
  /** What it may take of the disk. */
  readonly window: DiskRange
}

/** The file is kept until it is unpacked. */
export interface KeptUnpacking extends Unpacking {
  readonly format: UnpackedFormat
  /** Where the file is kept, read back, and served from: behind the window. */
  readonly kept: DiskRange
  /** Why the clusters of a qcow2 do not go straight to their places; null for other formats. */
  readonly why: string | null
}

/** The file is unpacked while it comes in; nothing of it is kept. */
export type InOrderUnpacking = PackedUnpacking | ArrivingUnpacking

interface PackedUnpacking extends Unpacking {
  readonly format: InOrderFormat
  readonly kept: null
}

/** A qcow2, each cluster of which has a place that is known before it comes. */
export interface ArrivingUnpacking extends Unpacking {
  readonly format: 'qcow2'
  readonly kept: null
  /** As a server told it: the file that comes has to tell the same. */
  readonly clusters: ArrivingClusters
}

/** A qcow2 whose clusters go straight to their places, in any order. */
export interface PlannedClusters {
  /** As a server told it: the proved file has to tell the same. */
  readonly map: ClusterMap
  /** What of the file is no cluster of its disk: there it is kept, read back and served from. */
  readonly rest: DiskRange
}

export interface FilePlace {
  readonly imageId: string
  readonly target: PlannedTarget
  readonly hasConfigdrive: boolean
}

export interface PlacedFile extends FilePlace {
  /** In the order they are tried. */
  readonly sources: readonly PlannedSource[]
}

export interface UnpackingFacts {
  readonly format: UnpackedFormat
  readonly fileBytes: number
  /** Of the image. */
  readonly leastBytes: number
  /** Of what is packed in the file, whatever that is; 0 where nothing is known. */
  readonly leastPackedBytes: number
  readonly container: PackedContainer | null
  /** Of the image servers. */
  readonly urls: readonly string[]
  /** By swarm_mode. */
  readonly isSwarmRequired: boolean
  readonly why: string | null
  /** Of a qcow2 that can be unpacked while it comes in; null for others. */
  readonly arriving: ArrivingClusters | null
}

export interface UnpackingWay {
  readonly unpacking: PlannedUnpacking
  readonly sources: readonly PlannedSource[]
  readonly warnings: readonly string[]
}

/**
 * A file that others are served from has to be kept. What comes by HTTP alone is unpacked in its order, and so is what
 * the disk has no room to keep. Throws InvalidImage, with the numbers, where neither can be done.
 */
export function planUnpacking(file: PlacedFile, facts: UnpackingFacts): UnpackingWay {
  const { sources } = file
  const inOrder = inOrderUnpacking(file, facts)
  if (inOrder && !sources.some(({ name }) => name === 'swarm')) {
    return { unpacking: inOrder, sources, warnings: [] }
  }
  const request = keptRequest(file, facts)
  const kept = placeKeptFile(request)
  if (kept) return { unpacking: keptUnpacking(kept, file, facts), sources, warnings: [] }
  const error = noRoomError(request)
  if (!inOrder || facts.isSwarmRequired) throw error
  return {
    unpacking: inOrder,
    sources: [{ name: 'http', urls: facts.urls }],
    warnings: [
      `no swarm, the image is unpacked in its order as it comes by HTTP: ${error.details}`,
    ],
  }
}

/** Undefined for a file of which bytes have to be had again. */
function inOrderUnpacking(file: FilePlace, facts: UnpackingFacts): InOrderUnpacking | undefined {
  const { format, leastBytes, arriving } = facts
  const container = facts.container && placeContainer(facts.container, file, facts)
  const window = windowBefore(container?.window, file)
  if (isInOrder(format)) return { format, kept: null, window, leastBytes, container }
  if (format !== 'qcow2' || !arriving) return undefined
  return { format, kept: null, window, leastBytes, container: null, clusters: arriving }
}

function keptUnpacking(kept: DiskRange, file: FilePlace, facts: UnpackingFacts): KeptUnpacking {
  const { format, leastBytes, why } = facts
  const placed = facts.container && placeContainer(facts.container, file, facts)
  // the file is kept at the end of what is free behind the image
  const container = placed && { ...placed, window: upTo(kept.offset, placed.window) }
  const window = windowBefore(container?.window ?? kept, file)
  return { format, kept, window, leastBytes, why, container }
}

/** Of the file, behind the image and what is unpacked on the way to it. */
function keptRequest(
  file: FilePlace,
  { fileBytes, leastBytes, leastPackedBytes, container }: UnpackingFacts,
): KeptFileRequest {
  const between = container ? Math.max(leastPackedBytes, MiB) : 0
  return {
    ...placeOf(file),
    what: 'the file it is unpacked from',
    bytes: fileBytes,
    unpackedBytes: container ? roundUp(leastBytes, MiB) + between : leastBytes,
  }
}

/** Behind the image, whose size is known, as its own shows at its end only. Throws InvalidImage where there is no room. */
function placeContainer(
  container: PackedContainer,
  file: FilePlace,
  { leastBytes, leastPackedBytes }: UnpackingFacts,
): PlacedContainer {
  const request = { ...placeOf(file), unpackedBytes: leastBytes }
  const window = roomBehind(request)
  if (window.length >= Math.max(leastPackedBytes, 1)) return { ...container, window }
  const what = `the ${container.format} that is packed in its file`
  throw noRoomError({ ...request, what, bytes: leastPackedBytes })
}

/** What of the target's window lies before `next`. */
function windowBefore(next: DiskRange | undefined, { target: { window } }: FilePlace): DiskRange {
  return next ? upTo(next.offset, window) : window
}

function upTo(end: number, range: DiskRange): DiskRange {
  return { offset: range.offset, length: Math.min(range.length, end - range.offset) }
}

/**
 * Null where the disk has no room for the rest of the file, which can be unpacked while it comes in. Throws InvalidImage
 * where that cannot be done either.
 */
export function planClusters(
  file: PlacedFile,
  map: ClusterMap,
  arriving: ArrivingClusters | null,
): PlannedClusters | null {
  const request = restOf(file, map)
  const rest = placeKeptFile(request)
  if (rest) return { map, rest }
  if (arriving) return null
  throw noRoomError(request)
}

/** Whether planClusters will find room for the rest of the file. */
export function hasRoomForRest(file: FilePlace, map: ClusterMap): boolean {
  return placeKeptFile(restOf(file, map)) !== undefined
}

function restOf(file: FilePlace, map: ClusterMap): KeptFileRequest {
  return {
    ...placeOf(file),
    what: 'what of the file is no part of its disk',
    bytes: map.restBytes,
    unpackedBytes: map.virtualBytes,
  }
}

function placeOf({ imageId, target: { window, disk, layout }, hasConfigdrive }: FilePlace) {
  return {
    imageId,
    // the root partition is the last: what lies behind it is free
    room: { offset: window.offset, length: disk.sizeBytes - window.offset },
    disk,
    // that of a partition image has a place of its own
    hasConfigdrive: hasConfigdrive && layout === null,
  }
}

/** Throws InvalidImage for what does not fit onto the disk. */
export function requireRoom(imageId: string, sizeBytes: number, disk: DeviceGeometry): void {
  if (sizeBytes <= disk.sizeBytes) return
  throw new AgentError(
    'InvalidImage',
    `image ${imageId} has ${sizeBytes} bytes, ${disk.path} only ${disk.sizeBytes}; choose a ` +
      'larger disk (for a node: by root device hints) or a smaller image',
  )
}

/** In whole MiB, as ironic-python-agent counts (contract 5.3.10). Throws InvalidCommandParamsError. */
export function requireRootRoom(sizeBytes: number, { root }: DiskLayout): void {
  if (sizeBytes <= root.range.length) return
  throw new AgentError(
    'InvalidCommandParamsError',
    `Root partition is too small for requested image. Image virtual size: ${Math.ceil(sizeBytes / MiB)} MB, ` +
      `Root size: ${root.range.length / MiB} MB; use a larger root_gb (for a node: in instance_info) or a smaller image`,
  )
}
