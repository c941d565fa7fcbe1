// SPDX-License-Identifier: Apache-2.0
// Owns the decision of what will be done to which disk, before anything is done. Pure: everything it
// needs to know is handed in (image-facts.ts gathers it). Does not open, fetch or write, nor print.
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, endOf, intersect } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import { bootRanges } from '../../disk/partition-table/partitioner.ts'
import {
  type DiskLayout,
  type LayoutRequest,
  layOut,
  type PlannedPartition,
} from '../../disk/partitioning/disk-layout.ts'
import type { Metainfo } from '../../sources/swarm/torrent/metainfo.ts'
import { ENCODINGS, type WritableFormat } from '../formats/encodings.ts'
import { type ImageContent, isWritable, requirePermitted } from '../formats/image-format.ts'
import {
  type FileFormat,
  judgeFile,
  judgePacked,
  judgeUnpacked,
  leastUnpackedBytes,
  type NamedFormat,
  type PackedContainer,
} from '../formats/judge-file.ts'
import type { Layout } from '../formats/layout.ts'
import { createClusterLayout } from '../formats/qcow2/straight/cluster-layout.ts'
import { fitsSectors, type NoClusterMap } from '../formats/qcow2/straight/cluster-map.ts'
import { createRawLayout } from '../formats/raw.ts'
import { CONTAINERS, isContainer, isInOrder, isUnpacked } from '../formats/unpackers.ts'
import type { ExpectedHash } from '../request/checksum.ts'
import type { ImageInfo } from '../request/image-info.ts'
import type { KnownClusters } from './cluster-facts.ts'
import type { PlannedSource, PlannedTarget } from './plan-parts.ts'
import {
  type KeptUnpacking,
  type PlannedClusters,
  type PlannedUnpacking,
  planClusters,
  planUnpacking,
  requireRoom,
  requireRootRoom,
} from './unpacking.ts'

/** What servers say of an image. */
export interface ImageAnswers {
  readonly hash: ExpectedHash
  /** From the server's answer to a probe; null when it did not say or could not be asked. */
  readonly serverBytes: number | null
  /** Null without a torrent, or with one that was refused. */
  readonly metainfo: Metainfo | null
  /** Of the file; null where they were not to be had. */
  readonly firstBytes: Uint8Array | null
  /** Of what is packed in a packed file; null where it is not to be had, and for other formats. */
  readonly packedBeginning: Uint8Array | null
  /** Of a qcow2, or why they are not known; null for other formats. */
  readonly clusters: KnownClusters | NoClusterMap | null
  /** What went wrong on the way and is going on without. */
  readonly warnings: readonly string[]
}

/** What is known of an image before it is fetched. */
export interface ImageFacts extends ImageAnswers {
  /** Length of the file, bytes. */
  readonly sizeBytes: number
}

/** Plain data. May hold credentials in urls: describe.ts makes what is shown of it. */
export interface Plan {
  readonly imageId: string
  readonly target: PlannedTarget
  /** Length of the file; no byte at or behind it is accepted. */
  readonly sizeBytes: number
  readonly format: FileFormat
  readonly namedFormat: NamedFormat
  /** Null for a file that is written as it is, or by its clusters. */
  readonly unpacking: PlannedUnpacking | null
  /** Of a qcow2 whose clusters go straight to their places; null for others. */
  readonly clusters: PlannedClusters | null
  /** The first bytes were not to be had: they are looked at as soon as they are there. */
  readonly isFormatOpen: boolean
  readonly content: ImageContent
  readonly hash: ExpectedHash
  /** In the order they are tried. */
  readonly sources: readonly PlannedSource[]
  /** Kept in RAM until the read-back agrees: the image's part of the first and the last MiB. */
  readonly holdBack: readonly DiskRange[]
  readonly hasConfigdrive: boolean
  readonly warnings: readonly string[]
}

export interface PlanOptions {
  readonly config: Pick<Config, 'swarm_mode' | 'permitted_image_formats'>
  readonly hasConfigdrive: boolean
  /** For a partition image; null for a whole disk. */
  readonly layoutRequest: LayoutRequest | null
}

/**
 * Decides. Throws InvalidImage for a format or an image type that is not written, an empty image and
 * one larger than the disk; what layOut throws; InvalidCommandParamsError for a root partition that is too small;
 * ImageDownloadError when swarm_mode is `require` and there is no torrent.
 */
export function planImage(
  imageInfo: ImageInfo,
  facts: ImageFacts,
  disk: DeviceGeometry,
  { config, hasConfigdrive, layoutRequest }: PlanOptions,
): Plan {
  const { sizeBytes } = facts
  const format = formatOf(imageInfo, facts.firstBytes, config.permitted_image_formats)
  const swarm = usableMetainfo(facts, config.swarm_mode)
  if (sizeBytes === 0) throw new AgentError('InvalidImage', `image ${imageInfo.id} is empty`)
  const layout = layoutRequest && layOut(layoutRequest, disk)
  const window = layout?.root.range ?? { offset: 0, length: disk.sizeBytes }
  const target = { disk, window, layout }
  const sources = sourcesOf(imageInfo, swarm.metainfo, config)
  const options = { target, config, hasConfigdrive, sources }
  const { warnings, ...placed } = placeFile(imageInfo, format, facts, options)
  return {
    imageId: imageInfo.id,
    target,
    sizeBytes,
    format,
    namedFormat: namedFormat(imageInfo),
    ...placed,
    isFormatOpen: !facts.firstBytes,
    content: contentOf(imageInfo),
    hash: facts.hash,
    holdBack: holdBackRanges(
      placed.unpacking?.window ??
        fileLayout({ sizeBytes, format, target, clusters: placed.clusters }, null).area,
      disk,
      layout,
    ),
    hasConfigdrive,
    warnings: [...facts.warnings, ...swarm.warnings, ...warnings],
  }
}

/** Where the bytes of the file lie on the disk. */
export function fileLayout(
  { sizeBytes, format, target, clusters }: FileLayoutRequest,
  unpacking: KeptUnpacking | null,
): Layout {
  if (unpacking) return createRawLayout(sizeBytes, unpacking.kept)
  if (clusters) return createClusterLayout(clusters.map, target.window, clusters.rest)
  return ENCODINGS[format as WritableFormat](sizeBytes, target.window)
}

type FileLayoutRequest = Pick<Plan, 'sizeBytes' | 'format' | 'target' | 'clusters'>

interface PlaceOptions extends Pick<PlanOptions, 'config' | 'hasConfigdrive'> {
  readonly target: PlannedTarget
  readonly sources: readonly PlannedSource[]
}

type PlacedClusters = ImageFacts['clusters'] | (NoClusterMap & KnownClusters)

/** What is done with a file that is not written as it is; nothing with the others. */
function placeFile(
  imageInfo: ImageInfo,
  format: FileFormat,
  facts: ImageFacts,
  { target, config, hasConfigdrive, sources }: PlaceOptions,
): Pick<Plan, 'unpacking' | 'clusters' | 'sources' | 'warnings'> {
  const { sizeBytes: fileBytes } = facts
  const { layout, disk } = target
  const clusters = inWholeSectors(facts.clusters, disk)
  const { id: imageId, urls } = imageInfo
  const packed = packedIn(imageInfo, format, facts.packedBeginning, config)
  const leastPackedBytes = leastBytesOf(format, facts)
  const leastBytes = packed?.virtualBytes ?? leastPackedBytes
  if (layout) requireRootRoom(leastBytes, layout)
  else requireRoom(imageId, isUnpacked(format) ? leastBytes : fileBytes, disk)
  if (!isUnpacked(format)) return { unpacking: null, clusters: null, sources, warnings: [] }
  const file = { imageId, target, hasConfigdrive, sources }
  if (clusters !== null && 'beginning' in clusters) {
    const named = namedFormat(imageInfo)
    const permitted = config.permitted_image_formats
    judgeUnpacked(clusters.beginning, format, named, permitted, contentOf(imageInfo))
  }
  const isSwarmRequired = config.swarm_mode === 'require'
  const arriving = clusters !== null && 'arriving' in clusters ? clusters.arriving : null
  const isStraight = clusters !== null && 'map' in clusters
  const planned = isStraight ? planClusters(file, clusters.map, arriving) : null
  if (planned) return { unpacking: null, clusters: planned, sources, warnings: [] }
  const why = format === 'qcow2' ? whyKept(clusters) : null
  const sizes = { fileBytes, leastBytes, leastPackedBytes }
  const unpacking = { format, ...sizes, container: packed, urls, isSwarmRequired, why, arriving }
  return { ...planUnpacking(file, unpacking), clusters: null }
}

/** What is to be unpacked in its turn. Null where a raw disk is packed, or nothing is known. Throws InvalidImage. */
function packedIn(
  imageInfo: ImageInfo,
  format: FileFormat,
  beginning: Uint8Array | null,
  { permitted_image_formats: permitted }: PlanOptions['config'],
): PackedContainer | null {
  if (!beginning || !isInOrder(format)) return null
  return judgePacked(beginning, format, namedFormat(imageInfo), permitted, contentOf(imageInfo))
}

/** Why the clusters of a qcow2 do not go straight to their places. */
function whyKept(clusters: PlacedClusters): string {
  if (clusters === null) return 'no server could be asked for its tables'
  if ('why' in clusters) return clusters.why
  if ('map' in clusters) return 'the disk has no room for the rest of the file behind them'
  return 'it has compressed clusters, and others are served from it'
}

/** What is known of them, and whether a sector of the disk would be shared by two that go straight there. */
function inWholeSectors(
  clusters: ImageFacts['clusters'],
  { logicalSectorBytes }: DeviceGeometry,
): PlacedClusters {
  if (!clusters || !('map' in clusters) || fitsSectors(clusters.map, logicalSectorBytes)) {
    return clusters
  }
  const { arriving, beginning } = clusters
  const why = `some begin or end within a sector of the disk, ${logicalSectorBytes} bytes`
  return arriving ? { why, arriving, beginning } : { why }
}

/** The least that the image takes on the disk, bytes; 0 where the file does not say. */
function leastBytesOf(format: FileFormat, { sizeBytes, firstBytes }: ImageFacts): number {
  if (!isUnpacked(format)) return sizeBytes
  return firstBytes ? leastUnpackedBytes(format, firstBytes) : 0
}

/**
 * What of the area that an image takes falls where boot code and partition tables lie; where the table stays, the
 * beginning of the root partition too, which a lax firmware could find by it.
 */
export function holdBackRanges(
  area: DiskRange,
  disk: DeviceGeometry,
  layout: DiskLayout | null = null,
): DiskRange[] {
  const [head, ...tails] = bootRanges(disk)
  const found = layout?.preservesEphemeral ? [beginningOf(layout.root)] : []
  // a small root partition at the end of the disk reaches from its beginning into the last MiB
  const ranges = [head, ...found, ...tails].flatMap((range) => (range ? [range] : []))
  return ranges.flatMap((range, i) => {
    const before = ranges[i - 1]
    const from = Math.max(range.offset, before ? endOf(before) : 0)
    const own = { offset: from, length: endOf(range) - from }
    return (own.length > 0 ? intersect(own, area) : undefined) ?? []
  })
}

/** What is zero while a table stays (docs/design/240-partition-images.md). */
function beginningOf({ range }: PlannedPartition): DiskRange {
  return { offset: range.offset, length: Math.min(MiB, range.length) }
}

/**
 * Refuses what can be refused before the size is known: to count it may cost a whole download. Throws what
 * planImage throws, but for the size.
 */
export function requirePlannable(
  imageInfo: ImageInfo,
  answers: ImageAnswers,
  config: PlanOptions['config'],
): void {
  const format = formatOf(imageInfo, answers.firstBytes, config.permitted_image_formats)
  packedIn(imageInfo, format, answers.packedBeginning, config)
  sourcesOf(imageInfo, usableMetainfo(answers, config.swarm_mode).metainfo, config)
}

/** Refuses what is known not to be written before any server is asked. Throws InvalidImage. */
export function requireWritable(imageInfo: ImageInfo): void {
  namedFormat(imageInfo)
}

function formatOf(
  info: ImageInfo,
  firstBytes: Uint8Array | null,
  permitted: readonly string[],
): FileFormat {
  const named = namedFormat(info)
  if (firstBytes) return judgeFile(firstBytes, named, permitted, contentOf(info))
  if (named.disk !== null && (named.disk === 'iso' || isContainer(named.disk))) {
    requirePermitted(named.disk, permitted)
  }
  return named.packing ?? named.disk ?? 'raw'
}

/** What must lie in the image, once it is unpacked. */
export function contentOf({ partition }: Pick<ImageInfo, 'partition'>): ImageContent {
  return partition === null ? 'whole disk' : 'partition'
}

/**
 * What disk_format and the node say. Null for null, which Ironic sends when the user gave none, and for the
 * word `unknown` of newer ones (contract 5.3.6). Throws InvalidImage for a format that is not written.
 */
function namedFormat({ diskFormat, packing }: ImageInfo): NamedFormat {
  if (diskFormat === null || diskFormat === 'unknown') return { disk: null, packing }
  if (isContainer(diskFormat) || isWritable(diskFormat)) return { disk: diskFormat, packing }
  throw new AgentError(
    'InvalidImage',
    `disk_format is ${diskFormat}, which is no format of a disk that is written: ${[...Object.keys(ENCODINGS), ...CONTAINERS].join(', ')}. ` +
      'Name one of these (a disk that is packed as what it is unpacked to: raw), or none',
  )
}

/** The torrent, if it may be used and speaks of the same image as the server. */
function usableMetainfo(
  { metainfo, serverBytes }: ImageAnswers,
  mode: Config['swarm_mode'],
): { metainfo: Metainfo | null; warnings: string[] } {
  if (mode === 'off' || !metainfo) return { metainfo: null, warnings: [] }
  if (serverBytes === null || serverBytes === metainfo.lengthBytes) {
    return { metainfo, warnings: [] }
  }
  const why = `the torrent describes ${metainfo.lengthBytes} bytes, the server has ${serverBytes}`
  if (mode === 'require') {
    throw new AgentError('InvalidMetainfoError', `${why}; make the torrent from this very image`, {
      kind: 'fatal',
    })
  }
  return { metainfo: null, warnings: [`${why}: going on by HTTP`] }
}

function sourcesOf(
  { urls, torrent }: ImageInfo,
  metainfo: Metainfo | null,
  config: PlanOptions['config'],
): PlannedSource[] {
  // stand-alone use; Ironic sends http(s) only (contract 5.3.1)
  const file = urls.find((url) => url.startsWith('file:'))
  if (file !== undefined) return [{ name: 'file', url: file }]
  const mode = config.swarm_mode
  if (!metainfo) {
    if (mode !== 'require') return [{ name: 'http', urls }]
    throw new AgentError(
      'ImageDownloadError',
      'swarm_mode is require, but no usable torrent is known; name one by ' +
        '--torrent; for a node by instance_info.image_torrent_file or ipa-swarm-torrent-url',
      { kind: 'operator' },
    )
  }
  const trackers = torrent?.trackers ?? []
  const swarm: PlannedSource = { name: 'swarm', metainfo, trackers, urls }
  return mode === 'require' ? [swarm] : [swarm, { name: 'http', urls }]
}
