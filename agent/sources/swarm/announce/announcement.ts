// SPDX-License-Identifier: Apache-2.0
// Owns what a tracker is told, and what it answers, whichever protocol carries it. Does not send.

/** Bytes, as BEP 3 counts them. */
export interface AnnounceFigures {
  readonly uploaded: number
  readonly downloaded: number
  readonly left: number
}

export type AnnounceEvent = 'started' | 'completed' | 'stopped'

export interface Announcement extends AnnounceFigures {
  /** 20 bytes. */
  readonly infoHash: Uint8Array
  /** 20 bytes. */
  readonly peerId: Uint8Array
  /** TCP port peers connect to. */
  readonly port: number
  /** Addresses that are wanted. */
  readonly numwant: number
  readonly event: AnnounceEvent | undefined
  /** What this tracker gave us to be known by. */
  readonly trackerId: Uint8Array | undefined
}

export interface TrackerAnswer {
  /** `host:port`, IPv6 in brackets; a host may be a name. */
  readonly peers: readonly string[]
  /** Seeds and leechers that the tracker counts. */
  readonly nodes: number | undefined
  readonly trackerId: Uint8Array | undefined
  /** The tracker's words, which hinder nothing. */
  readonly warning: string | undefined
}

/** What a tracker says, or what was said in its place, is shown up to here. */
const MAX_WORDS = 200

/** The tracker has answered, and that it does not serve us. The message has its words. */
export class TrackerRefusal extends Error {
  constructor(words: string) {
    super(words)
    this.name = 'TrackerRefusal'
  }
}

/** Bytes of anybody as one line that a terminal can be given. */
export function wordsOf(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, 4 * MAX_WORDS))
  const line = text.replaceAll(/[\p{C}\p{Z}\uFFFD]+/gu, ' ').trim()
  return line.length > MAX_WORDS ? `${line.slice(0, MAX_WORDS)}…` : line
}
