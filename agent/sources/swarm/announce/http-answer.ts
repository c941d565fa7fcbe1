// SPDX-License-Identifier: Apache-2.0
// Owns what the body of a tracker's HTTP answer means (BEP 3, BEP 7, BEP 23). Liberal: what does not
// matter to us may be anything. Does not send.
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { KiB } from '../../../core/units.ts'
import { type BencodeDictionary, readDictionary } from '../torrent/bencode-reader.ts'
import { type TrackerAnswer, TrackerRefusal, wordsOf } from './announcement.ts'
import { MAX_PEERS, peerAddresses } from './peer-addresses.ts'

/** A thousand peers in the longest form take half of it. */
export const MAX_ANSWER_BYTES = 512 * KiB
const RULES = { maxDepth: 8, maxItems: 20_000, isLenient: true }
/** It goes into every later request. */
const MAX_TRACKER_ID_BYTES = 256

/**
 * @param encoding the answer's Content-Encoding
 * @throws TrackerRefusal with the tracker's words, Error for what is no answer
 */
export function parseHttpAnswer(
  status: number,
  body: Uint8Array,
  encoding: string | undefined,
): TrackerAnswer {
  const answer = readAnswer(status, body, encoding)
  const failure = answer.get('failure reason')
  if (failure !== undefined) {
    throw new TrackerRefusal(failure instanceof Uint8Array ? wordsOf(failure) : 'without a reason')
  }
  if (status !== 200) throw new Error(`status ${status}`)
  const warning = answer.get('warning message')
  const trackerId = answer.get('tracker id')
  const isKept = trackerId instanceof Uint8Array && trackerId.length <= MAX_TRACKER_ID_BYTES
  return {
    peers: [
      ...peerAddresses(answer.get('peers'), 4),
      ...peerAddresses(answer.get('peers6'), 16),
    ].slice(0, MAX_PEERS),
    nodes: sum(answer.get('complete'), answer.get('incomplete')),
    trackerId: isKept ? Uint8Array.from(trackerId) : undefined,
    warning: warning instanceof Uint8Array ? wordsOf(warning) : undefined,
  }
}

/** Trackers say no with any status, and some of them with words. */
function readAnswer(
  status: number,
  body: Uint8Array,
  encoding: string | undefined,
): BencodeDictionary {
  let bytes = body
  try {
    bytes = unpacked(body, encoding)
    return readDictionary(bytes, RULES).entries
  } catch (cause) {
    if (status !== 200) throw new Error(`status ${status}`, { cause })
    if (body.length === 0) throw new Error('an empty answer', { cause })
    throw new Error(`no answer of a tracker: ${wordsOf(bytes)}`, { cause })
  }
}

/** Asked for plain bytes, servers pack them all the same; gzip is known without being named, too. */
function unpacked(body: Uint8Array, encoding: string | undefined): Uint8Array {
  const limit = { maxOutputLength: MAX_ANSWER_BYTES }
  if (body[0] === 0x1f && body[1] === 0x8b) return gunzipSync(body, limit)
  if (encoding === 'deflate') return inflateSync(body, limit)
  if (encoding === 'br') return brotliDecompressSync(body, limit)
  return body
}

function sum(...counts: unknown[]): number | undefined {
  if (!counts.every((count) => typeof count === 'number' && count >= 0)) return undefined
  return (counts as number[]).reduce((total, count) => total + count, 0)
}
