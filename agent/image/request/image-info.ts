// SPDX-License-Identifier: Apache-2.0
// Owns the reading of `image_info`: what Ironic's fields mean here and which values are refused
// (contract 5.2). Does not fetch anything; unknown keys are ignored.
import type { Config } from '../../config/options.ts'
import { AgentError } from '../../core/errors.ts'
import { isObject, type JsonObject, stringAt } from '../../core/json.ts'
import type { ImageCredentials } from '../../sources/http/authorization.ts'
import type { NamedPacking } from './packing.ts'
import { type PartitionFields, parsePartitionFields } from './partition-fields.ts'
import { findTorrent, type TorrentReference } from './torrent-reference.ts'

/** `os_hash_algo` and `os_hash_value` as sent; the value may be a url. */
export interface OsHash {
  readonly algo: string
  readonly value: string
}

/** As Ironic sent it (contract 5.3.8): a url or base64 of a gzip; the bytes of the text where it is long. */
export type ConfigDriveText = string | Uint8Array

export interface ImageInfo {
  readonly id: string
  /** At least one. */
  readonly urls: readonly string[]
  /** Null when the user gave none: then the first bytes decide. */
  readonly diskFormat: string | null
  /** Null for a whole disk. */
  readonly partition: PartitionFields | null
  /** How the node says that it is packed; null where it says nothing. */
  readonly packing: NamedPacking | null
  readonly checksum: string | null
  readonly osHash: OsHash | null
  readonly proxies: { readonly http: string | null; readonly https: string | null }
  readonly noProxy: string | null
  readonly nodeUuid: string
  /** Counts only when the command's own `configdrive` argument is null (contract 5.2). */
  readonly configdrive: ConfigDriveText | null
  /** Secret; sources/http/authorization.ts makes the header of them. */
  readonly credentials: ImageCredentials
  /** Null: no torrent is known, HTTP only. */
  readonly torrent: TorrentReference | null
}

/** Where an image may lie: Ironic always sends http(s) (contract 5.3.1), a person at the machine may name a file. */
export type AllowedUrls = 'http' | 'http or file'

/** With swarm_mode `off` no torrent is looked for; glance_url is for torrents named by a Glance id. */
export type ImageInfoConfig = Pick<Config, 'md5_enabled' | 'swarm_mode' | 'glance_url'>

/**
 * Reads what came as `image_info`. Throws InvalidCommandParamsError for a wrong type, a missing field
 * or an image that could not be verified: verification can never be skipped (contract 5.2). Its torrent is the
 * one that it names itself; a node or an option may name another. Throws InvalidImage for a bootable container.
 */
export function parseImageInfo(
  value: unknown,
  config: ImageInfoConfig,
  allowed: AllowedUrls = 'http',
): ImageInfo {
  if (!isObject(value)) throw invalid(`image_info must be an object, got ${typeOf(value)}`)
  const id = requiredText(value, 'id')
  refuseContainer(value)
  const info: ImageInfo = {
    id,
    urls: urlList(value['urls'], allowed),
    diskFormat: optionalText(value, 'disk_format'),
    partition: parsePartitionFields(value),
    packing: null,
    checksum: checksumText(value),
    osHash: osHash(value),
    proxies: proxies(value['proxies']),
    noProxy: optionalText(value, 'no_proxy'),
    nodeUuid: stringAt(value, 'node_uuid') ?? 'local',
    configdrive: configDriveText(value['configdrive']),
    credentials: credentials(value),
    torrent: config.swarm_mode === 'off' ? null : torrent(value, id, config),
  }
  requireUsableChecksum(info, config.md5_enabled)
  return info
}

/** A bootable container is installed (contract 5.10, deploy/bootc/), not written: who asks here wants a disk image. Throws InvalidImage. */
function refuseContainer(value: JsonObject): void {
  if (value['disk_format'] !== 'bootc') return
  throw new AgentError(
    'InvalidImage',
    'image_info.disk_format is bootc: a container is not written, Ironic has it installed by podman and bootc ' +
      '(docs/bootable-containers.md); here take a disk image of it (bootc-image-builder makes raw and qcow2)',
  )
}

/** True for text that names a place to fetch a value from instead of being the value. */
export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text)
}

function torrent(value: JsonObject, id: string, config: ImageInfoConfig) {
  return findTorrent({
    fromImageInfo: value['torrent'],
    node: undefined,
    imageId: id,
    torrentUrl: null,
    glanceUrl: config.glance_url,
  })
}

function requireUsableChecksum({ checksum, osHash }: ImageInfo, md5Enabled: boolean): void {
  const isMd5Pair = osHash !== null && osHash.algo.toLowerCase() === 'md5'
  if (osHash && (!isMd5Pair || md5Enabled)) return
  if (checksum && (isHttpUrl(checksum) || checksum.length > 32)) return
  if (checksum?.length === 32 && md5Enabled) return
  const why =
    isMd5Pair || checksum?.length === 32
      ? 'only an MD5 checksum is given and md5_enabled is false'
      : 'neither checksum nor os_hash_algo/os_hash_value is usable'
  throw invalid(`image_info: ${why}; give os_hash_algo and os_hash_value (sha256 or sha512)`)
}

function urlList(value: unknown, allowed: AllowedUrls): string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalid(`image_info.urls must be a non-empty list, got ${typeOf(value)}`)
  }
  const schemes = value.map((url, i) => {
    const scheme = typeof url === 'string' && URL.canParse(url) ? new URL(url).protocol : undefined
    if (scheme === 'http:' || scheme === 'https:') return scheme
    if (scheme === 'file:' && allowed === 'http or file') return scheme
    throw invalid(
      `image_info.urls[${i}] must be an http(s) url` +
        (scheme === 'file:' ? '; files are for ironswarm write on the machine itself' : ''),
    )
  })
  if (schemes.includes('file:') && schemes.length > 1) {
    throw invalid('image_info.urls must be one file: url alone, or http(s) urls')
  }
  return value
}

function checksumText(value: JsonObject): string | null {
  const { checksum } = value
  if (checksum === undefined || checksum === null) return null
  if (typeof checksum !== 'string' || checksum.trim() === '') {
    throw invalid('image_info.checksum, when present, must be a non-empty string')
  }
  return checksum.trim()
}

function osHash(value: JsonObject): OsHash | null {
  const { os_hash_algo: algo, os_hash_value: digest } = value
  if ((algo ?? null) === null && (digest ?? null) === null) return null
  if (typeof algo !== 'string' || typeof digest !== 'string' || !algo.trim() || !digest.trim()) {
    throw invalid('image_info.os_hash_algo and os_hash_value must both be non-empty strings')
  }
  return { algo: algo.trim(), value: digest.trim() }
}

function proxies(value: unknown): ImageInfo['proxies'] {
  if (value === undefined || value === null) return { http: null, https: null }
  if (!isObject(value)) {
    throw invalid(`image_info.proxies must be an object, got ${typeOf(value)}`)
  }
  return { http: optionalText(value, 'http'), https: optionalText(value, 'https') }
}

function credentials(value: JsonObject): ImageCredentials {
  return {
    image_request_authorization: optionalText(value, 'image_request_authorization'),
    image_server_auth_strategy: optionalText(value, 'image_server_auth_strategy'),
    image_server_user: optionalText(value, 'image_server_user'),
    image_server_password: optionalText(value, 'image_server_password'),
  }
}

function requiredText(value: JsonObject, key: string): string {
  const text = value[key]
  if (typeof text !== 'string' || text === '') {
    throw invalid(`image_info.${key} must be a non-empty string, got ${typeOf(text)}`)
  }
  return text
}

/** Absent, null and '' all mean "not given": the conductor sends null for unset fields. */
function configDriveText(value: unknown): ConfigDriveText | null {
  return value instanceof Uint8Array ? value : optionalText({ configdrive: value }, 'configdrive')
}

function optionalText(value: JsonObject, key: string): string | null {
  const text = value[key]
  if (text === undefined || text === null || text === '') return null
  if (typeof text !== 'string') {
    throw invalid(`image_info.${key} must be a string, got ${typeOf(text)}`)
  }
  return text
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'list' : typeof value
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
