// SPDX-License-Identifier: Apache-2.0
// Owns getting the .torrent a TorrentReference names, checked against its digest. Parsing hostile bytes
// is swarm/torrent/metainfo.ts's.
import { createHash } from 'node:crypto'
import { AgentError, messageOf } from '../../core/errors.ts'
import { redactUrl } from '../../core/redact.ts'
import { fetchSmall } from '../../sources/http/fetch-small.ts'
import type { HttpImageOptions } from '../../sources/http/image-options.ts'
import {
  MAX_METAINFO_BYTES,
  type Metainfo,
  parseMetainfo,
} from '../../sources/swarm/torrent/metainfo.ts'
import type { TorrentReference } from '../request/torrent-reference.ts'

/** A .torrent is small and may be missing on purpose: it is not worth the patience an image is. */
const RETRIES = 2

/** Throws InvalidMetainfoError, or ImageDownloadError with the reason of each url. */
export async function fetchMetainfo(
  torrent: TorrentReference,
  http: HttpImageOptions,
  signal: AbortSignal,
): Promise<Metainfo> {
  const bytes = torrent.metainfo ?? (await fetchTorrent(torrent.urls, http, signal))
  requireDigest(bytes, torrent.checksum)
  return parseMetainfo(bytes)
}

async function fetchTorrent(
  urls: readonly string[],
  http: HttpImageOptions,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const reasons: string[] = []
  const retries = Math.min(RETRIES, http.config.image_download_connection_retries)
  const config = { ...http.config, image_download_connection_retries: retries }
  for (const url of urls) {
    try {
      const options = { ...http, config, url, maxBytes: MAX_METAINFO_BYTES }
      return await fetchSmall(options, signal)
    } catch (error) {
      if (signal.aborted) throw error
      reasons.push(`${redactUrl(url)}: ${messageOf(error)}`)
    }
  }
  throw new AgentError('ImageDownloadError', `no .torrent to be had: ${reasons.join('; ')}`)
}

/** The historical payload carries a digest of the .torrent; MD5 here guards against mix-ups only. */
function requireDigest(bytes: Uint8Array, checksum: string | null): void {
  const algo = new Map([
    [32, 'md5'],
    [64, 'sha256'],
    [128, 'sha512'],
  ]).get(checksum?.length ?? 0)
  if (!checksum || !algo) return
  const found = createHash(algo).update(bytes).digest('hex')
  if (found === checksum.toLowerCase()) return
  throw new AgentError(
    'InvalidMetainfoError',
    `${algo} of the .torrent is ${found}, torrent.info.checksum says ${checksum}`,
  )
}
