// SPDX-License-Identifier: Apache-2.0
// Owns how a file that is not written as it is comes to the disk: kept and unpacked, or straight to the places of its
// clusters, and what of the disk either takes. Pure.
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, intersect } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import type { DiskLayout } from '../../disk/partitioning/disk-layout.ts'
import type { ArrivingClusters } from '../formats/qcow2/arriving/map-arriving.ts'
import type { ClusterMap } from '../formats/qcow2/straight/cluster-map.ts'
import { type InOrderFormat, isInOrder, type UnpackedFormat } from '../formats/unpackers.ts'
import { type KeptFileRequest, noRoomError, placeKeptFile } from './kept-file.ts'
import type { PlannedSource, PlannedTarget } from './plan-parts.ts'

/** How a file that is not written as it is comes to the disk. */
export type PlannedUnpacking = KeptUnpacking | InOrderUnpacking

interface Unpacking {
  /** What the image may take of the target's window. */
  readonly window: DiskRange
  /** The least that the unpacked image takes, bytes; 0 where nothing is known. */
  readonly leastBytes: number
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
  readonly leastBytes: number
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
  const { format, leastBytes, why } = facts
  const { sources } = file
  const { window } = file.target
  const inOrder = inOrderUnpacking(facts, window)
  if (inOrder && !sources.some(({ name }) => name === 'swarm')) {
    return { unpacking: inOrder, sources, warnings: [] }
  }
  const request = {
    ...placeOf(file),
    what: 'the file it is unpacked from',
    bytes: facts.fileBytes,
    unpackedBytes: leastBytes,
  }
  const kept = placeKeptFile(request)
  if (kept) {
    const before = { offset: window.offset, length: kept.offset - window.offset }
    const room = intersect(window, before) ?? { ...window, length: 0 }
    return { unpacking: { format, kept, window: room, leastBytes, why }, sources, warnings: [] }
  }
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
function inOrderUnpacking(
  { format, leastBytes, arriving }: UnpackingFacts,
  window: DiskRange,
): InOrderUnpacking | undefined {
  if (isInOrder(format)) return { format, kept: null, window, leastBytes }
  if (format !== 'qcow2' || !arriving) return undefined
  return { format, kept: null, window, leastBytes, clusters: arriving }
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
