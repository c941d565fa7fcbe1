// SPDX-License-Identifier: Apache-2.0
// Owns where an image's torrent is named and what the name means: image_info, the node's
// instance_info, the kernel parameter, Glance ids. Does not fetch the .torrent nor read metainfo.
import { AgentError } from '../../core/errors.ts'
import { isObject, objectAt, stringAt } from '../../core/json.ts'
import { formatBytes } from '../../core/units.ts'
import { MAX_METAINFO_BYTES } from '../../sources/swarm/torrent/metainfo.ts'

/** How to get the metainfo of an image, and who tracks it. */
export interface TorrentReference {
  /** The .torrent itself, when it was sent in place of a url. */
  readonly metainfo: Uint8Array | null
  /** http(s) urls of the .torrent, tried in order. Empty only if `metainfo` is set. */
  readonly urls: readonly string[]
  /** Digest of the .torrent (the historical payload sends MD5); null when none was sent. */
  readonly checksum: string | null
  /** BEP 12 tiers from the payload; those of metainfo and configuration are merged in later. */
  readonly trackers: readonly (readonly string[])[]
}

export interface TorrentCarriers {
  /** `image_info.torrent` */
  readonly fromImageInfo: unknown
  /** The node object of `execute_deploy_step`: an unmodified conductor passes it whole. */
  readonly node: unknown
  readonly imageId: string
  readonly torrentUrl: string | null
  readonly glanceUrl: string | null
}

/** base64 of the largest .torrent the swarm takes. */
const MAX_METAINFO_TEXT = (MAX_METAINFO_BYTES / 3) * 4 + 4
const GLANCE_ID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i

/**
 * The first carrier that names a torrent: `image_info.torrent`, `instance_info.image_torrent` (the dict
 * of the historical conductor), `instance_info.image_torrent_file`, config `swarm_torrent_url`.
 * Null when none does. Throws InvalidCommandParamsError for a carrier that cannot be understood.
 */
export function findTorrent(carriers: TorrentCarriers): TorrentReference | null {
  const { glanceUrl } = carriers
  const instanceInfo = objectAt(carriers.node, 'instance_info')
  if (isGiven(carriers.fromImageInfo)) {
    return fromPayload(carriers.fromImageInfo, glanceUrl)
  }
  if (isGiven(instanceInfo['image_torrent'])) {
    return fromPayload(instanceInfo['image_torrent'], glanceUrl)
  }
  const file = stringAt(instanceInfo, 'image_torrent_file')
  if (file) return fromUrls([resolveTorrentUri(file, glanceUrl)])
  if (carriers.torrentUrl) {
    const url = carriers.torrentUrl.replaceAll('{id}', encodeURIComponent(carriers.imageId))
    return fromUrls([resolveTorrentUri(url, glanceUrl)])
  }
  return null
}

/**
 * The http(s) url behind `http(s)://…`, `glance://<uuid>`, `glare://<uuid>` or a bare Glance id.
 * @param glanceUrl endpoint; `{id}` in it is replaced, else the service's own path is appended
 */
export function resolveTorrentUri(uri: string, glanceUrl: string | null): string {
  if (/^https?:\/\//i.test(uri) && URL.canParse(uri)) return uri
  const match = /^(?:(glance|glare):\/\/)?([^/?#]+)$/i.exec(uri)
  const id = match?.[2] ?? ''
  if (!GLANCE_ID.test(id)) {
    throw invalid(
      `torrent "${uri}" is neither an http(s) url, glance://<uuid>, glare://<uuid> nor a Glance id`,
    )
  }
  if (!glanceUrl) {
    throw invalid(`torrent "${uri}" needs an endpoint; set ipa-swarm-glance-url`)
  }
  if (glanceUrl.includes('{id}')) return glanceUrl.replaceAll('{id}', id)
  const base = glanceUrl.replace(/\/+$/, '')
  // Glance Image API v2: GET /v2/images/{id}/file. Glare API v1: the blob of an artifact of type images.
  return match?.[1]?.toLowerCase() === 'glare'
    ? `${base}/artifacts/images/${id}/image`
    : `${base.replace(/\/v2$/, '')}/v2/images/${id}/file`
}

function fromPayload(value: unknown, glanceUrl: string | null): TorrentReference {
  if (typeof value === 'string') return fromUrls([resolveTorrentUri(value, glanceUrl)])
  if (!isObject(value)) throw invalid('torrent must be an object or a url')
  const info = objectAt(value, 'info')
  const metainfo = decodeMetainfo(value['metainfo'])
  const named = textList(info['urls'], 'torrent.info.urls')
  const id = stringAt(info, 'id')
  const uris = named.length === 0 && id && !metainfo ? [id] : named
  if (!metainfo && uris.length === 0) {
    throw invalid('torrent holds neither metainfo nor info.urls; name the .torrent in one of them')
  }
  return {
    metainfo,
    urls: uris.map((uri) => resolveTorrentUri(uri, glanceUrl)),
    checksum: stringAt(info, 'checksum') ?? null,
    trackers: trackerTiers(value['trackers']),
  }
}

function fromUrls(urls: string[]): TorrentReference {
  return { metainfo: null, urls, checksum: null, trackers: [] }
}

function decodeMetainfo(value: unknown): Uint8Array | null {
  if (!isGiven(value)) return null
  if (typeof value !== 'string' || value.length > MAX_METAINFO_TEXT) {
    throw invalid(
      `torrent.metainfo must be the base64 of a .torrent of at most ${formatBytes(MAX_METAINFO_BYTES)}`,
    )
  }
  const bytes = Buffer.from(value, 'base64')
  // bencode: metainfo is a dictionary, `d…e`; anything else was not a .torrent
  if (bytes[0] !== 0x64) throw invalid('torrent.metainfo is not the base64 of a .torrent')
  return bytes
}

/** A plain url is a tier of its own, a list is a tier (BEP 12's announce-list). */
function trackerTiers(value: unknown): string[][] {
  const entries = Array.isArray(value) ? value : isGiven(value) ? [value] : []
  return entries
    .map((entry) => textList(entry, 'torrent.trackers'))
    .filter((tier) => tier.length > 0)
}

function textList(value: unknown, name: string): string[] {
  if (!isGiven(value)) return []
  const items = Array.isArray(value) ? value : [value]
  return items.map((item) => {
    if (typeof item !== 'string' || item === '') throw invalid(`${name} must be a list of strings`)
    return item
  })
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function invalid(details: string): AgentError {
  return new AgentError('InvalidCommandParamsError', details)
}
