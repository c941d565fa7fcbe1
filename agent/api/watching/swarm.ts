// SPDX-License-Identifier: Apache-2.0
// Owns what `/v1/swarm` answers, read from the state that the events tell. Does not serve it (routes.ts).
import type { AgentState } from '../../core/agent-state.ts'
import type { JsonObject } from '../../core/json.ts'
import { publicTexts } from './public-text.ts'

/** `{torrent: null}` while none is fetched or seeded. */
export function swarmDocument({ torrent }: Pick<AgentState, 'torrent'>, now: number): JsonObject {
  if (torrent === null) return { torrent: null }
  const originReason = publicTexts(torrent.originReason)
  const { state, peers, asked, served, pieces, rates, bytes, webseeds } = torrent
  return {
    torrent: {
      ...{ info_hash: torrent.infoHash, state, peers, asked, served },
      peer_list: torrent.peerList.map((peer) => ({
        address: peer.address,
        rate_bytes_per_second: peer.rateBytesPerSecond,
        is_near: peer.isNear,
        is_asked: peer.isAsked,
        is_served: peer.isServed,
      })),
      ...{ pieces, rates, bytes, bad_pieces: torrent.badPieces },
      trackers: torrent.trackers.map(({ tracker, words, nodes, ...told }) => ({
        tracker,
        state: told.state,
        words,
        nodes,
        asked_seconds_ago: told.askedSecondsAgo,
        next_in_seconds: told.nextInSeconds,
      })),
      ...{ webseeds, origin_reason: originReason },
      seen_seconds_ago: Math.max(0, Math.round((now - torrent.at) / 1000)),
    },
  }
}
