// SPDX-License-Identifier: Apache-2.0
// Owns the decision of what will be done to which disk, before anything is done. Pure: everything it
// needs to know is handed in (image-facts.ts gathers it). Does not open, fetch or write, nor print.
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'
import { type DiskRange, intersect } from '../../core/extent.ts'
import { MiB } from '../../core/units.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import { bootRanges } from '../../disk/partition-table/partitioner.ts'
import { type DiskLayout, type LayoutRequest, layOut } from '../../disk/partitioning/disk-layout.ts'
import type { Metainfo } from '../../sources/swarm/torrent/metainfo.ts'
import { ENCODINGS, type WritableFormat } from '../formats/encodings.ts'
import {
  type ImageContent,
  isWritable,
  laterFormat,
  requirePermitted,
} from '../formats/image-format.ts'
import {
  type FileFormat,
  judgeFile,
  leastUnpackedBytes,
  type NamedFormat,
} from '../formats/judge-file.ts'
import type { Layout } from '../formats/layout.ts'
import { createRawLayout } from '../formats/raw.ts'
import { isContainer, isUnpacked } from '../formats/unpackers.ts'
import type { ExpectedHash } from '../request/checksum.ts'
import type { ImageInfo } from '../request/image-info.ts'
import type { PlannedSource, PlannedTarget } from './plan-parts.ts'
import { type KeptUnpacking, type PlannedUnpacking, planUnpacking } from './unpacking.ts'

/** What servers say of an image. */
export interface ImageAnswers {
  readonly hash: ExpectedHash
  /** From the server's answer to a probe; null when it did not say or could not be asked. */
  readonly serverBytes: number | null
  /** Null without a torrent, or with one that was refused. */
  readonly metainfo: Metainfo | null
  /** Of the file; null where they were not to be had. */
  readonly firstBytes: Uint8Array | null
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
  /** Null for a file that is written as it is. */
  readonly unpacking: PlannedUnpacking | null
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
  const leastBytes = leastBytesOf(format, facts)
  const isWritten = isUnpacked(format) ? leastBytes : Math.max(leastBytes, sizeBytes)
  if (layout) requireRootRoom(leastBytes, layout)
  else requireRoom(imageInfo.id, isWritten, disk)
  const sources = sourcesOf(imageInfo, swarm.metainfo, config)
  const { unpacking, ...way } = isUnpacked(format)
    ? planUnpacking(format, {
        imageId: imageInfo.id,
        urls: imageInfo.urls,
        isSwarmRequired: config.swarm_mode === 'require',
        sizeBytes,
        leastBytes,
        target,
        hasConfigdrive,
        sources,
      })
    : { unpacking: null, sources, warnings: [] }
  return {
    imageId: imageInfo.id,
    target,
    sizeBytes,
    format,
    namedFormat: namedFormat(imageInfo),
    unpacking,
    isFormatOpen: !facts.firstBytes,
    content: contentOf(imageInfo),
    hash: facts.hash,
    sources: way.sources,
    holdBack: holdBackRanges(
      unpacking ? unpacking.window : fileLayout({ sizeBytes, format, target }, null).area,
      disk,
    ),
    hasConfigdrive,
    warnings: [...facts.warnings, ...swarm.warnings, ...way.warnings],
  }
}

/** Where the bytes of the file lie on the disk. */
export function fileLayout(
  { sizeBytes, format, target }: Pick<Plan, 'sizeBytes' | 'format' | 'target'>,
  unpacking: KeptUnpacking | null,
): Layout {
  if (unpacking) return createRawLayout(sizeBytes, unpacking.kept)
  return ENCODINGS[format as WritableFormat](sizeBytes, target.window)
}

/** The least that the image takes on the disk, bytes; 0 where the file does not say. */
function leastBytesOf(format: FileFormat, { sizeBytes, firstBytes }: ImageFacts): number {
  if (!isUnpacked(format)) return sizeBytes
  return firstBytes ? leastUnpackedBytes(format, firstBytes) : 0
}

/** What of the area that an image takes falls where boot code and partition tables lie. */
export function holdBackRanges(area: DiskRange, disk: DeviceGeometry): DiskRange[] {
  return bootRanges(disk).flatMap((range) => intersect(range, area) ?? [])
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
  formatOf(imageInfo, answers.firstBytes, config.permitted_image_formats)
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
  throw laterFormat(diskFormat)
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

function requireRoom(imageId: string, sizeBytes: number, disk: DeviceGeometry): void {
  if (sizeBytes <= disk.sizeBytes) return
  throw new AgentError(
    'InvalidImage',
    `image ${imageId} has ${sizeBytes} bytes, ${disk.path} only ${disk.sizeBytes}; choose a ` +
      'larger disk with root device hints, or a smaller image',
  )
}

/** In whole MiB, as ironic-python-agent counts (contract 5.3.10). */
function requireRootRoom(sizeBytes: number, { root }: DiskLayout): void {
  if (sizeBytes <= root.range.length) return
  throw new AgentError(
    'InvalidCommandParamsError',
    `Root partition is too small for requested image. Image virtual size: ${Math.ceil(sizeBytes / MiB)} MB, ` +
      `Root size: ${root.range.length / MiB} MB; use a larger instance_info.root_gb or a smaller image`,
  )
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
      'swarm_mode is require, but no usable torrent is known; name one in ' +
        'instance_info.image_torrent_file or ipa-swarm-torrent-url',
      { kind: 'operator' },
    )
  }
  const trackers = torrent?.trackers ?? []
  const swarm: PlannedSource = { name: 'swarm', metainfo, trackers, urls }
  return mode === 'require' ? [swarm] : [swarm, { name: 'http', urls }]
}
