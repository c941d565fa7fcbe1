// SPDX-License-Identifier: Apache-2.0
// Owns the decision of what will be done to which disk, before anything is done. Pure: everything it
// needs to know is handed in (image-facts.ts gathers it). Does not open, fetch or write.
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'
import { type ByteRange, endOf, intersect } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import { formatBytes } from '../../core/units.ts'
import type { DeviceGeometry } from '../../disk/geometry.ts'
import { bootRanges } from '../../disk/partition-table/partitioner.ts'
import type { Metainfo } from '../../sources/swarm/torrent/metainfo.ts'
import {
  detectFormat,
  type ImageFormat,
  laterFormat,
  requireRawFormat,
} from '../formats/image-format.ts'
import type { ExpectedHash } from '../request/checksum.ts'
import type { ImageInfo } from '../request/image-info.ts'

/** What is known of an image before it is fetched. */
export interface ImageFacts {
  readonly hash: ExpectedHash
  /** From the server's answer to a probe; null when it did not say or could not be asked. */
  readonly serverBytes: number | null
  /** Null without a torrent, or with one that was refused. */
  readonly metainfo: Metainfo | null
  /** Of the image; null where they were not needed or not to be had. */
  readonly firstBytes: Uint8Array | null
  /** What went wrong on the way and is going on without. */
  readonly warnings: readonly string[]
}

/** One source, with the words for a person. */
export interface PlannedSource {
  readonly name: 'swarm' | 'http' | 'file'
  readonly detail: string
}

export interface Plan {
  readonly imageId: string
  readonly target: DeviceGeometry
  /** Null: no one could say; the stream's end will. */
  readonly sizeBytes: number | null
  /** No byte at or behind this offset is accepted. */
  readonly limitBytes: number
  readonly format: ImageFormat
  /** The first bytes are to be looked at as soon as they are there: nobody has said what they are. */
  readonly isFormatOpen: boolean
  readonly hash: ExpectedHash
  /** In the order they are tried. */
  readonly sources: readonly PlannedSource[]
  /** Kept in RAM until the read-back agrees: the image's part of the first and the last MiB. */
  readonly holdBack: readonly ByteRange[]
  readonly hasConfigdrive: boolean
  readonly steps: readonly string[]
  readonly warnings: readonly string[]
}

/**
 * Decides. Throws InvalidImage for a format or an image type that is not written, an empty image and
 * one larger than the disk; ImageDownloadError when swarm_mode is `require` and there is no torrent.
 */
export function planImage(
  imageInfo: ImageInfo,
  facts: ImageFacts,
  target: DeviceGeometry,
  options: {
    readonly config: Pick<Config, 'swarm_mode' | 'permitted_image_formats'>
    readonly hasConfigdrive: boolean
  },
): Plan {
  const format = formatOf(imageInfo, facts, options.config.permitted_image_formats)
  const swarm = usableMetainfo(facts, options.config.swarm_mode)
  const sizeBytes = facts.serverBytes ?? swarm.metainfo?.lengthBytes ?? null
  requireRoom(imageInfo.id, sizeBytes, target)
  const limitBytes = sizeBytes ?? target.sizeBytes
  const plan = {
    imageId: imageInfo.id,
    target,
    sizeBytes,
    limitBytes,
    format,
    isFormatOpen: isUnnamed(imageInfo.diskFormat) && !facts.firstBytes,
    hash: facts.hash,
    sources: sourcesOf(imageInfo, swarm.metainfo, options.config.swarm_mode),
    holdBack: holdBackRanges(limitBytes, target),
    hasConfigdrive: options.hasConfigdrive,
    warnings: [...facts.warnings, ...swarm.warnings],
  }
  return { ...plan, steps: stepsOf(plan) }
}

/** The plan as lines for a person. */
export function describePlan(plan: Plan): string[] {
  const { target } = plan
  const size = plan.sizeBytes === null ? 'unknown' : exactly(plan.sizeBytes)
  return [
    `image     ${plan.imageId}, ${plan.format}, ${size}`,
    `target    ${target.path}, ${exactly(target.sizeBytes)}, sectors of ${target.logicalSectorBytes}`,
    `hash      ${plan.hash.algo} ${plan.hash.value}`,
    ...plan.sources.map((source, i) => `source ${i + 1}  ${source.name}: ${source.detail}`),
    ...plan.holdBack.map((range) => `held      bytes ${range.offset}–${endOf(range) - 1}`),
    ...plan.steps.map((step, i) => `step ${i + 1}    ${step}`),
    ...plan.warnings.map((warning) => `warning   ${warning}`),
  ]
}

/** The part of an image of `limitBytes` that falls where boot code and partition tables lie. */
export function holdBackRanges(limitBytes: number, target: DeviceGeometry): ByteRange[] {
  const image = { offset: 0, length: limitBytes }
  return bootRanges(target).flatMap((range) => intersect(range, image) ?? [])
}

function formatOf(info: ImageInfo, facts: ImageFacts, permitted: readonly string[]): ImageFormat {
  if (info.imageType === 'partition') {
    throw new AgentError(
      'InvalidImage',
      'image_type is partition; so far only whole-disk images are written. Remove kernel_id and ' +
        'ramdisk_id (instance_info.kernel, .ramdisk) or use a whole-disk image',
    )
  }
  const { diskFormat } = info
  // contract 5.3.6: raw and gpt are taken at their word
  if (diskFormat === 'raw' || diskFormat === 'gpt') return diskFormat
  if (!isUnnamed(diskFormat)) throw laterFormat(diskFormat)
  if (!facts.firstBytes) return 'raw'
  const format = detectFormat(facts.firstBytes)
  requireRawFormat(format, permitted)
  return format
}

/** Ironic sends null when the user gave no format; master also knows the word (contract 5.3.6). */
export function isUnnamed(diskFormat: string | null): diskFormat is null | 'unknown' {
  return diskFormat === null || diskFormat === 'unknown'
}

/** The torrent, if it may be used and speaks of the same image as the server. */
function usableMetainfo(
  { metainfo, serverBytes }: ImageFacts,
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

function requireRoom(imageId: string, sizeBytes: number | null, target: DeviceGeometry): void {
  if (sizeBytes === 0) throw new AgentError('InvalidImage', `image ${imageId} is empty`)
  if (sizeBytes === null || sizeBytes <= target.sizeBytes) return
  throw new AgentError(
    'InvalidImage',
    `image ${imageId} has ${sizeBytes} bytes, ${target.path} only ${target.sizeBytes}; choose a ` +
      'larger disk with root device hints, or a smaller image',
  )
}

function sourcesOf(
  info: ImageInfo,
  metainfo: Metainfo | null,
  mode: Config['swarm_mode'],
): PlannedSource[] {
  const urls = info.urls.map(redactUrl).join(' ')
  // stand-alone use; Ironic sends http(s) only (contract 5.3.1)
  if (info.urls.some((url) => url.startsWith('file:'))) return [{ name: 'file', detail: urls }]
  const http: PlannedSource = { name: 'http', detail: urls }
  if (!metainfo) {
    if (mode !== 'require') return [http]
    throw new AgentError(
      'ImageDownloadError',
      'swarm_mode is require, but no usable torrent is known; name one in ' +
        'instance_info.image_torrent_file or ipa-swarm-torrent-url',
      { kind: 'operator' },
    )
  }
  const swarm: PlannedSource = {
    name: 'swarm',
    detail:
      `${metainfo.infoHash}, ${metainfo.pieceCount} pieces of ${formatBytes(metainfo.pieceLength)}, ` +
      `web seeds ${urls}`,
  }
  return mode === 'require' ? [swarm] : [swarm, http]
}

function stepsOf(plan: Omit<Plan, 'steps'>): string[] {
  const { path } = plan.target
  const held = plan.holdBack.reduce((sum, range) => sum + range.length, 0)
  return [
    `open ${path} exclusively, erase old partition tables`,
    `fetch from ${plan.sources.map(({ name }) => name).join(', then ')}, holding back ${formatBytes(held)}`,
    `read the image back from the disk and compare its ${plan.hash.algo}`,
    'write what was held back, the first sector last; move the backup GPT to the end of the disk',
    ...(plan.hasConfigdrive ? ['write the config drive'] : []),
  ]
}

function exactly(bytes: number): string {
  return `${formatBytes(bytes)} (${bytes} bytes)`
}
