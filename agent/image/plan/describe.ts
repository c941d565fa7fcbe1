// SPDX-License-Identifier: Apache-2.0
// Owns the plan as people and programs are shown it: sentences, and a JSON document without secrets and
// without the torrent's hashes. Does not decide.
import { endOf } from '../../core/extent.ts'
import { redactUrl } from '../../core/redact.ts'
import { formatBytes } from '../../core/units.ts'
import type { Plan, PlannedSource } from './plan.ts'

/** The plan as lines for a person. */
export function describePlan(plan: Plan): string[] {
  const { disk } = plan.target
  return [
    `image     ${plan.imageId}, ${plan.format}, ${exactly(plan.sizeBytes)}`,
    `target    ${disk.path}, ${exactly(disk.sizeBytes)}, sectors of ${disk.logicalSectorBytes}`,
    `hash      ${plan.hash.algo} ${plan.hash.value}`,
    ...plan.sources.map((source, i) => `source ${i + 1}  ${source.name}: ${detailOf(source)}`),
    ...plan.holdBack.map((range) => `held      bytes ${range.offset}–${endOf(range) - 1}`),
    ...stepsOf(plan).map((step, i) => `step ${i + 1}    ${step}`),
    ...plan.warnings.map((warning) => `warning   ${warning}`),
  ]
}

/** The plan as `ironswarm plan --json` prints it. */
export function planDocument(plan: Plan): Readonly<Record<string, unknown>> {
  const { sources, target, ...facts } = plan
  return {
    ...facts,
    target: target.disk,
    limitBytes: plan.sizeBytes,
    sources: sources.map((source) => ({ name: source.name, detail: detailOf(source) })),
    steps: stepsOf(plan),
  }
}

function detailOf(source: PlannedSource): string {
  if (source.name === 'file') return redactUrl(source.url)
  const urls = source.urls.map(redactUrl).join(' ')
  if (source.name === 'http') return urls
  const { infoHash, pieceCount, pieceLength } = source.metainfo
  return `${infoHash}, ${pieceCount} pieces of ${formatBytes(pieceLength)}, web seeds ${urls}`
}

function stepsOf({ target, holdBack, sources, hash, hasConfigdrive }: Plan): string[] {
  const { path } = target.disk
  const heldBytes = holdBack.reduce((sum, range) => sum + range.length, 0)
  return [
    `open ${path} exclusively, erase old partition tables`,
    `fetch from ${sources.map(({ name }) => name).join(', then ')}, holding back ${formatBytes(heldBytes)}`,
    `read the image back from the disk and compare its ${hash.algo}`,
    'move the backup GPT to the end of the disk, in memory',
    ...(hasConfigdrive ? ['write the config drive and compare it, its partition in memory'] : []),
    'commit: write what was held back, the first sector last',
  ]
}

function exactly(bytes: number): string {
  return `${formatBytes(bytes)} (${bytes} bytes)`
}
