// SPDX-License-Identifier: Apache-2.0
// Owns the plan as people and programs are shown it: sentences, and a JSON document without secrets and
// without the torrent's hashes. Does not decide.
import { type DiskRange, endOf } from '../../core/extent.ts'
import { snakeCase } from '../../core/json.ts'
import { redactUrl } from '../../core/redact.ts'
import { formatBytes } from '../../core/units.ts'
import type { DiskLayout } from '../../disk/partitioning/disk-layout.ts'
import type { Plan } from './plan.ts'
import type { PlannedSource } from './plan-parts.ts'
import type { PlannedUnpacking } from './unpacking.ts'

/** The plan as lines for a person. */
export function describePlan(plan: Plan): string[] {
  const { disk } = plan.target
  return [
    `image     ${plan.imageId}, ${plan.format}, ${exactly(plan.sizeBytes)}`,
    `target    ${disk.path}, ${exactly(disk.sizeBytes)}, sectors of ${disk.logicalSectorBytes}`,
    ...(plan.target.layout ? partitionsOf(plan.target.layout) : []),
    `hash      ${plan.hash.algo} ${plan.hash.value}`,
    ...plan.sources.map((source, i) => `source ${i + 1}  ${source.name}: ${detailOf(source)}`),
    ...(plan.unpacking ? unpackedLines(plan.unpacking) : []),
    ...(plan.clusters ? [`unpacked  ${exactly(plan.clusters.map.virtualBytes)}`] : []),
    ...plan.holdBack.map((range) => `held      ${rangeText(range)}`),
    ...stepsOf(plan).map((step, i) => `step ${i + 1}    ${step}`),
    ...plan.warnings.map((warning) => `warning   ${warning}`),
  ]
}

function unpackedLines(unpacking: PlannedUnpacking): string[] {
  const { leastBytes, format, container } = unpacking
  const size = leastBytes > 0 ? exactly(leastBytes) : 'a size that shows while it is unpacked'
  const why = unpacking.kept && unpacking.why
  const unpacked = container ? `${size}, from a ${container.format} in the ${format}` : size
  if (why === null) return [`unpacked  ${unpacked}`]
  const kept = `kept      the clusters of the ${format} cannot go straight to their places: ${why}`
  return [`unpacked  ${size}`, kept]
}

/** The plan as `ironswarm plan --json` prints it. */
export function planDocument(plan: Plan): unknown {
  return snakeCase(documentOf(plan))
}

function documentOf(plan: Plan): Readonly<Record<string, unknown>> {
  const { sources, target, clusters, unpacking, ...facts } = plan
  return {
    ...facts,
    unpacking: unpacking && unpackingDocument(unpacking),
    clusters: clusters && {
      rest: clusters.rest,
      runCount: clusters.map.runCount,
      virtualBytes: clusters.map.virtualBytes,
    },
    target: target.disk,
    ...(target.layout ? { layout: target.layout } : {}),
    limitBytes: plan.sizeBytes,
    sources: sources.map((source) => ({ name: source.name, detail: detailOf(source) })),
    steps: stepsOf(plan),
  }
}

/** Without the clusters, of which there may be a million. */
function unpackingDocument(unpacking: PlannedUnpacking): Readonly<Record<string, unknown>> {
  if (!('clusters' in unpacking)) return { ...unpacking }
  const { clusters, ...rest } = unpacking
  return { ...rest, clusterCount: clusters.map.pieceCount }
}

function detailOf(source: PlannedSource): string {
  if (source.name === 'file') return redactUrl(source.url)
  const urls = source.urls.map(redactUrl).join(' ')
  if (source.name === 'http') return urls
  const { infoHash, pieceCount, pieceLength } = source.metainfo
  return `${infoHash}, ${pieceCount} pieces of ${formatBytes(pieceLength)}, web seeds ${urls}`
}

function stepsOf(plan: Plan): string[] {
  const { target, hasConfigdrive } = plan
  return [
    `open ${target.disk.path} exclusively, ${target.layout?.preservesEphemeral ? 'disarm its first sector' : 'erase old partition tables'}`,
    ...bringingOf(plan),
    ...(target.layout ? divisionOf(target.layout, hasConfigdrive) : fittingOf(hasConfigdrive)),
    'commit: write what was held back, the first sector last',
  ]
}

/** From the sources to an image of which only what boots is not on the disk. */
function bringingOf({ target, holdBack, sources, hash, unpacking, clusters }: Plan): string[] {
  const heldBytes = holdBack.reduce((sum, range) => sum + range.length, 0)
  const held = `holding back ${formatBytes(heldBytes)}`
  const fetch = `fetch from ${sources.map(({ name }) => name).join(', then ')}`
  const compare = `back from the disk and compare its ${hash.algo}`
  if (unpacking) return unpackingSteps(unpacking, { fetch, held, compare, algo: hash.algo })
  if (!clusters) return [`${fetch}, ${held}`, `read the image ${compare}`]
  return [
    `${fetch}, the clusters straight to their places from byte ${target.window.offset} on, ${held}; the rest of the ` +
      `file to ${rangeText(clusters.rest)}; zeros where there is no cluster`,
    `read the file ${compare}, and the tables in it with those that this plan was made from`,
    'read the zeros back from the disk and compare them',
  ]
}

interface Words {
  readonly fetch: string
  readonly held: string
  readonly compare: string
  readonly algo: string
}

function unpackingSteps(unpacking: PlannedUnpacking, { fetch, held, compare, algo }: Words) {
  const { format, window, kept, container } = unpacking
  const inPlace = `to ${rangeText(window)}, zeros written as zeros, ${held}`
  const to = `the ${format} ${container ? `to ${rangeText(container.window)}` : inPlace}`
  const readBack = 'read what was unpacked back from the disk and compare it'
  const again = container ? [`unpack the ${container.format} ${inPlace}`, readBack] : []
  if (kept === null) {
    const proved = `compare the ${algo} of the file that came`
    return [`${fetch} and unpack ${to}`, proved, readBack, ...again]
  }
  const keep = `${fetch}, keeping the file at ${rangeText(kept)}`
  return [keep, `read the file ${compare}`, `unpack ${to}`, readBack, ...again]
}

function fittingOf(hasConfigdrive: boolean): string[] {
  return [
    'move the backup GPT to the end of the disk, in memory',
    ...(hasConfigdrive ? ['write the config drive and compare it, its partition in memory'] : []),
  ]
}

function divisionOf({ label, preservesEphemeral }: DiskLayout, hasConfigdrive: boolean): string[] {
  const table = preservesEphemeral ? 'keep the table that is there' : `make a new table (${label})`
  return [
    `${table}, in memory; make file systems by offset`,
    ...(hasConfigdrive ? ['write the config drive and compare it'] : []),
  ]
}

function partitionsOf({ label, bootMode, partitions }: DiskLayout): string[] {
  return [
    `layout    ${label}, for ${bootMode}`,
    ...partitions.map(
      ({ number, kind, range }) =>
        `part ${number}    ${kind}, bytes ${range.offset}–${endOf(range) - 1} (${formatBytes(range.length)})`,
    ),
  ]
}

function rangeText(range: DiskRange): string {
  return `bytes ${range.offset}–${endOf(range) - 1}`
}

function exactly(bytes: number): string {
  return `${formatBytes(bytes)} (${bytes} bytes)`
}
