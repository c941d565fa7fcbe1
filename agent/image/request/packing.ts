// SPDX-License-Identifier: Apache-2.0
// Owns what the node says of how its image is packed: the newest Ironic fills it in for images of OCI registries
// and sends nothing of it in image_info. Does not look at the image.
import { objectAt, stringAt } from '../../core/json.ts'

const PACKINGS = ['gzip', 'zstd', 'xz', 'bzip2'] as const
/** As the node names it, which is as its first bytes are recognised. */
export type NamedPacking = (typeof PACKINGS)[number]

/**
 * `instance_info.image_compression_type`, else the end of `image_media_type` (`…+zstd`, `application/gzip`). Null
 * where neither says a word that is known: then the first bytes alone decide.
 */
export function findPacking(node: unknown): NamedPacking | null {
  const instanceInfo = objectAt(node, 'instance_info')
  const type = stringAt(instanceInfo, 'image_compression_type')
  const mediaType = stringAt(instanceInfo, 'image_media_type')
  const word = (type || mediaType?.split(/[+/]/).at(-1) || '').toLowerCase()
  return PACKINGS.find((packing) => packing === word) ?? null
}
