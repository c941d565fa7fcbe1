// SPDX-License-Identifier: Apache-2.0
// Owns the names of the fields of `image_info`, of those too that nothing here reads, so that a field somebody
// misspelled can be told from one that is Ironic's. Does not read values; image-info.ts does.
import type { JsonObject } from '../../core/json.ts'

/** Contract 5.2, and what older and newer conductors send. */
const KNOWN: ReadonlySet<string> = new Set([
  'boot_option',
  'checksum',
  'configdrive',
  'container_format',
  'deploy_boot_mode',
  'disk_format',
  'disk_label',
  'ephemeral_format',
  'ephemeral_mb',
  'id',
  'image_request_authorization',
  'image_server_auth_strategy',
  'image_server_password',
  'image_server_user',
  'image_source',
  'image_type',
  'kernel',
  'no_proxy',
  'node_uuid',
  'os_hash_algo',
  'os_hash_value',
  'preserve_ephemeral',
  'properties',
  'proxies',
  'ramdisk',
  'root_gb',
  'root_mb',
  'stream_raw_images',
  'swap_mb',
  'tags',
  'torrent',
  'urls',
])

/** Fields that are none of image_info, each with the one that was probably meant. */
export function unknownFields(
  imageInfo: JsonObject,
): { readonly name: string; readonly meant: string | null }[] {
  return Object.keys(imageInfo)
    .filter((name) => !KNOWN.has(name))
    .map((name) => ({ name, meant: closestTo(name) }))
}

/** The known name that has most of the same pairs of letters, if it is more than half of them. */
function closestTo(name: string): string | null {
  const scored = [...KNOWN].map((known) => ({ known, score: likeness(name, known) }))
  const [best] = scored.sort((a, b) => b.score - a.score)
  return best && best.score > 0.5 ? best.known : null
}

/** Sørensen–Dice of the pairs of letters, 0 to 1. */
function likeness(one: string, other: string): number {
  const [a, b] = [pairsOf(one), pairsOf(other)]
  const shared = [...a].filter((pair) => b.has(pair)).length
  return (2 * shared) / Math.max(1, a.size + b.size)
}

/** At most of 64 letters: a name comes from outside. */
function pairsOf(text: string): Set<string> {
  const letters = text.slice(0, 64).toLowerCase().replaceAll(/[-_]/g, '')
  return new Set(
    Array.from({ length: Math.max(0, letters.length - 1) }, (_, i) => letters.slice(i, i + 2)),
  )
}
