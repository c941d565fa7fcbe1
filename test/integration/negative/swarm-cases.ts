// SPDX-License-Identifier: Apache-2.0
// Owns the failures of torrents, trackers and peers.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { encodeInfo, encodeMetainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { startTracker } from '../../support/tracker.ts'
import { MiB, seedImage } from '../image/deploy-lab.ts'
import { startHostilePeer } from '../swarm/hostile-peer.ts'
import type { FailureCase } from './failure-case.ts'

const REQUIRE = { swarm_mode: 'require', swarm_stall_timeout: 3 } as const
/** A TCP port nobody listens on. */
const DEAD_TRACKER = 'http://127.0.0.1:9/announce'

export const SWARM_CASES: readonly FailureCase[] = [
  {
    name: 'no torrent where the swarm is required',
    arrange: () => ({ config: REQUIRE }),
    error: 'ImageDownloadError',
    details: /no usable torrent is known/,
    isUntouched: true,
  },
  ...malformedMetainfo(),
  {
    name: 'a torrent of another length where the swarm is required',
    arrange: () => ({
      config: REQUIRE,
      fields: { torrent: { metainfo: torrentOf(15 * MiB) } },
    }),
    error: 'InvalidMetainfoError',
    details: /15728640 bytes, the server has 16777216/,
    isUntouched: true,
  },
  {
    name: 'a dead tracker, where nobody else has the image',
    arrange: async (lab) => {
      const torrent = await seedImage(lab.image, DEAD_TRACKER)
      await lab.origin.goDown()
      return {
        config: REQUIRE,
        fields: { torrent: torrent.payload },
        undo: () => torrent[Symbol.asyncDispose](),
      }
    },
    error: 'SwarmStalledError',
    details: /no new piece for \d+ s with 0 peers.*check trackers/,
  },
  {
    name: 'a peer that sends garbage, where nobody else has the image',
    arrange: async (lab) => {
      const tracker = await startTracker()
      const torrent = await seedImage(lab.image, DEAD_TRACKER)
      const { metainfo } = torrent
      const peer = await startHostilePeer(tracker.url, {
        metainfo,
        onRequest: (talk, { piece, offset, length }) =>
          talk.sendBlock(piece, offset, randomBytes(length)),
      })
      await lab.origin.goDown()
      return {
        config: REQUIRE,
        fields: { torrent: { ...torrent.payload, trackers: [tracker.url] } },
        undo: async () => {
          await peer[Symbol.asyncDispose]()
          await torrent[Symbol.asyncDispose]()
          await tracker[Symbol.asyncDispose]()
        },
      }
    },
    error: 'SwarmStalledError',
    details: /no new piece/,
  },
  {
    name: 'a swarm that shares another image of the same length',
    arrange: async (lab) => {
      const tracker = await startTracker()
      const other = await makeDiskImage(join(lab.folder, 'other.raw'), {
        sizeBytes: lab.image.sizeBytes,
        seed: 2,
      })
      const torrent = await seedImage(other, tracker.url)
      await lab.origin.goDown()
      return {
        fields: { torrent: torrent.payload },
        undo: async () => {
          await torrent[Symbol.asyncDispose]()
          await tracker[Symbol.asyncDispose]()
        },
      }
    },
    error: 'ImageChecksumError',
    details: /source was swarm/,
  },
]

function malformedMetainfo(): FailureCase[] {
  const texts: [string, string, RegExp][] = [
    ['cut off', torrentOf(16 * MiB).slice(0, 400), /torrent refused/],
    ['of two files', base64('d4:infod5:filesld6:lengthi1e4:pathl1:aeee4:name1:xee'), /refused/],
    ['with a piece length of zero', torrentOf(16 * MiB, 0), /piece length 0/],
    ['nested without end', base64(`d4:info${'l'.repeat(5000)}`), /refused/],
  ]
  return texts.map(([what, metainfo, details]) => ({
    name: `metainfo ${what}, where the swarm is required`,
    arrange: () => ({ config: REQUIRE, fields: { torrent: { metainfo } } }),
    error: 'InvalidMetainfoError',
    details,
    isUntouched: true,
  }))
}

/** base64 of a torrent that describes so many bytes; its hashes fit nothing. */
export function torrentOf(lengthBytes: number, pieceLength = MiB): string {
  const count = pieceLength === 0 ? 1 : Math.ceil(lengthBytes / pieceLength)
  const info = encodeInfo({ name: 'x', lengthBytes, pieceLength, pieces: randomBytes(20 * count) })
  return Buffer.from(encodeMetainfo(info)).toString('base64')
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64')
}
