// SPDX-License-Identifier: Apache-2.0
// Owns what Ironic asks to be written: image_info and config drive as read once from a command or a step,
// completed by the node. Does not know the fields of image_info; agent/image/request does.
import type { Config } from '../config/options.ts'
import { AgentError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import {
  type AllowedUrls,
  type ConfigDriveText,
  type ImageInfo,
  type ImageInfoConfig,
  parseImageInfo,
} from '../image/request/image-info.ts'
import { findPacking } from '../image/request/packing.ts'
import { withNodesBootMode } from '../image/request/partition-fields.ts'
import { findTorrent, type TorrentReference } from '../image/request/torrent-reference.ts'

export interface WriteRequest {
  /** Before {@link withNode}, its torrent is the one that image_info itself names, its packing unknown. */
  readonly imageInfo: ImageInfo
  /** Text as Ironic sent it (contract 5.3.8): a url or base64 of a gzip; null for none. */
  readonly configdrive: ConfigDriveText | null
}

type TorrentConfig = Pick<Config, 'swarm_mode' | 'swarm_torrent_url' | 'glance_url'>

/**
 * Reads both arguments. A command may come before its node is known, so nothing here depends on the node.
 * Throws InvalidCommandParamsError for an image_info or config drive nobody can use.
 */
export function parseWriteRequest(
  imageInfo: unknown,
  configdrive: unknown,
  config: ImageInfoConfig,
  allowed: AllowedUrls = 'http',
): WriteRequest {
  const parsed = parseImageInfo(imageInfo, config, allowed)
  // the argument, else the one inside of image_info (contract 5.2 step 1)
  return { imageInfo: parsed, configdrive: parseConfigdrive(configdrive ?? parsed.configdrive) }
}

/**
 * The request completed by the node: its boot mode, where a disk is to be divided for a partition image; how its
 * instance_info says that the image is packed; and the torrent that it or option swarm_torrent_url names, where
 * image_info names none. Throws InvalidCommandParamsError for what cannot be understood.
 */
export function withNode(
  request: WriteRequest,
  node: JsonObject | undefined,
  config: TorrentConfig,
): WriteRequest {
  const { imageInfo } = request
  const partition = imageInfo.partition && withNodesBootMode(imageInfo.partition, node)
  const torrent = imageInfo.torrent ?? torrentFor(imageInfo, node, config)
  return { ...request, imageInfo: { ...imageInfo, partition, packing: findPacking(node), torrent } }
}

function torrentFor(
  imageInfo: ImageInfo,
  node: JsonObject | undefined,
  config: TorrentConfig,
): TorrentReference | null {
  if (config.swarm_mode === 'off') return null
  return findTorrent({
    fromImageInfo: null,
    node,
    imageId: imageInfo.id,
    torrentUrl: config.swarm_torrent_url,
    glanceUrl: config.glance_url,
  })
}

/** The argument `configdrive` of a command or step; empty means none. Throws InvalidCommandParamsError. */
export function parseConfigdrive(value: unknown): ConfigDriveText | null {
  if (value === null || value === undefined || value === '') return null
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  throw new AgentError(
    'InvalidCommandParamsError',
    'configdrive must be a url or base64 text of a gzipped image',
  )
}
