// SPDX-License-Identifier: Apache-2.0
// Owns the torrent in the form in which the library keeps it. Given a .torrent, the library would parse it by
// rules of its own: the info-hash of what it encodes anew, and a path made of the name.
import type { Metainfo } from '../torrent/metainfo.ts'
import { pieceRange } from '../torrent/piece-layout.ts'
import type { TorrentOutline } from './types.ts'

/** A constant: names found in torrents may be any bytes, and this one is nobody's path. */
const NAME = 'image'

/**
 * What parse-torrent makes of a .torrent, without trackers, web seeds and pieces: for each of these the library
 * would make a text of its hash, an object and a list, and look at all of them with each peer that comes.
 */
export function parsedTorrentOf(metainfo: Metainfo): TorrentOutline {
  const { infoHash, lengthBytes, pieceLength, pieceCount, isPrivate } = metainfo
  return {
    infoHash,
    name: NAME,
    private: isPrivate,
    announce: [],
    urlList: [],
    // the true one is given to peers by metadata-extension.ts (BEP 9)
    info: { name: NAME },
    files: [{ path: NAME, name: NAME, length: lengthBytes, offset: 0 }],
    length: lengthBytes,
    pieceLength,
    lastPieceLength: pieceRange(metainfo, pieceCount - 1).length,
    pieces: [],
  }
}
