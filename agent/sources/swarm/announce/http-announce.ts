// SPDX-License-Identifier: Apache-2.0
// Owns one announce over HTTP (BEP 3): the request, its bounds, who the server must be. What the answer
// means is http-answer.ts's.
import type { HttpClient } from '../../../http/client.ts'
import type { Announcement, TrackerAnswer } from './announcement.ts'
import { MAX_ANSWER_BYTES, parseHttpAnswer } from './http-answer.ts'

/**
 * @param client with the configured authorities: a tracker's certificate is trusted as an image server's is
 * @throws TrackerRefusal, HttpFailure, Error for what is no answer, or the reason of `signal`
 */
export async function announceByHttp(
  client: HttpClient,
  url: string,
  announcement: Announcement,
  signal: AbortSignal,
): Promise<TrackerAnswer> {
  const response = await client.request(announceUrl(url, announcement), {
    signal,
    maxBytes: MAX_ANSWER_BYTES,
  })
  const encoding = response.headers['content-encoding']
  return parseHttpAnswer(response.status, response.bytes, String(encoding ?? '').toLowerCase())
}

/** The announce url may have a query of its own: private trackers know their users by it. */
export function announceUrl(url: string, announcement: Announcement): string {
  const { infoHash, peerId, event, trackerId, port, uploaded, downloaded, left, numwant } =
    announcement
  const query = [
    `info_hash=${escaped(infoHash)}`,
    `peer_id=${escaped(peerId)}`,
    `port=${port}`,
    `uploaded=${uploaded}`,
    `downloaded=${downloaded}`,
    `left=${left}`,
    'compact=1',
    `numwant=${numwant}`,
    ...(event === undefined ? [] : [`event=${event}`]),
    ...(trackerId === undefined ? [] : [`trackerid=${escaped(trackerId)}`]),
  ].join('&')
  const bare = url.replace(/#.*$/, '')
  return `${bare}${bare.includes('?') ? '&' : '?'}${query}`
}

/** Bytes, of which most are no characters (RFC 3986 2.3). */
function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte)
    if (/[A-Za-z0-9._~-]/.test(character)) return character
    return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')
}
