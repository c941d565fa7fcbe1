// SPDX-License-Identifier: Apache-2.0
// Owns the .torrent: validation of hostile input, encoding of our own.
// Does not fetch, and uses no name found in a torrent as a path.
import { createHash } from 'node:crypto'
import bencode from 'bencode'
import { AgentError, messageOf } from '../../../core/errors.ts'
import { formatBytes, KiB, MiB } from '../../../core/units.ts'
import {
  type BencodeDictionary,
  type BencodeValue,
  readDictionary,
  type Span,
} from './bencode-reader.ts'
import { BLOCK_BYTES } from './piece-layout.ts'
import { isTrackerUrl } from './trackers.ts'

/** BEP 3: a piece hash is a SHA-1. */
export const HASH_BYTES = 20
export const MAX_PIECE_BYTES = 16 * MiB
export const MAX_PIECES = 256 * KiB
/** 256 Ki pieces are 5 MiB of hashes; hybrid torrents carry their v2 layers besides. */
export const MAX_METAINFO_BYTES = 16 * MiB
const LIMITS = { maxDepth: 16, maxItems: 100_000 }

/** A validated single-file torrent. */
export interface Metainfo {
  /** SHA-1 of the info dictionary as it stands in the file, lower-case hex. */
  readonly infoHash: string
  readonly pieceLength: number
  /** Length of the one file, bytes. */
  readonly lengthBytes: number
  readonly pieceCount: number
  /** `pieceCount` SHA-1 hashes, end to end. */
  readonly pieces: Uint8Array
  readonly isPrivate: boolean
  /** BEP 12 tiers; only urls of trackers. */
  readonly trackers: readonly (readonly string[])[]
  /** BEP 19 urls of the file; kept for display, deploys use the image's own urls. */
  readonly webSeeds: readonly string[]
  /** For display only; bytes that are no UTF-8 are replaced. */
  readonly name: string
  /** The info dictionary as it stands in the file. */
  readonly info: Uint8Array
}

/**
 * Parses a .torrent that may come from anywhere.
 * @param expected.expectedBytes length the plan expects; another one is refused
 * Throws InvalidMetainfoError with what is wrong and what would be accepted (BEP 3, BEP 12).
 */
export function parseMetainfo(
  bytes: Uint8Array,
  expected: { readonly expectedBytes?: number | undefined } = {},
): Metainfo {
  if (bytes.length > MAX_METAINFO_BYTES) {
    throw invalid(`${formatBytes(bytes.length)} long, at most ${formatBytes(MAX_METAINFO_BYTES)}`)
  }
  const { infoSpan, info, torrent } = decode(bytes)
  // a copy, of a Buffer too: the rest of the file is not kept alive by it
  const infoBytes = Uint8Array.from(bytes.subarray(infoSpan.start, infoSpan.end))
  const shape = parseShape(info)
  if (expected.expectedBytes !== undefined && shape.lengthBytes !== expected.expectedBytes) {
    throw invalid(
      `it describes ${shape.lengthBytes} bytes, the image has ${expected.expectedBytes}; ` +
        'make the torrent from this very image',
    )
  }
  return {
    infoHash: createHash('sha1').update(infoBytes).digest('hex'),
    ...shape,
    isPrivate: info.get('private') === 1,
    trackers: parseTrackers(torrent),
    webSeeds: texts(torrent.get('url-list')).filter((url) => /^https?:\/\//i.test(url)),
    name: textOf(info.get('name.utf-8') ?? info.get('name')) ?? '',
    info: infoBytes,
  }
}

/** What `encodeMetainfo` writes around an info dictionary. */
export interface MetainfoEnvelope {
  readonly trackers?: readonly (readonly string[])[]
  readonly webSeeds?: readonly string[]
  readonly createdBy?: string
}

/** The info dictionary of a new single-file torrent (BEP 3; `private` is BEP 27). */
export function encodeInfo(fields: {
  readonly name: string
  readonly lengthBytes: number
  readonly pieceLength: number
  readonly pieces: Uint8Array
  readonly isPrivate?: boolean
}): Uint8Array {
  return bencode.encode({
    length: fields.lengthBytes,
    name: fields.name,
    'piece length': fields.pieceLength,
    pieces: fields.pieces,
    ...(fields.isPrivate ? { private: 1 } : {}),
  })
}

/** A .torrent around the bytes of an info dictionary, which stay as they are: the info-hash holds. */
export function encodeMetainfo(info: Uint8Array, envelope: MetainfoEnvelope = {}): Uint8Array {
  const tiers = (envelope.trackers ?? []).filter((tier) => tier.length > 0)
  const [firstTracker] = tiers.flat()
  const before = bencode.encode({
    ...(firstTracker === undefined ? {} : { announce: firstTracker, 'announce-list': tiers }),
    ...(envelope.createdBy === undefined ? {} : { 'created by': envelope.createdBy }),
  })
  const webSeeds = envelope.webSeeds ?? []
  const after = bencode.encode(webSeeds.length === 0 ? {} : { 'url-list': webSeeds })
  // keys in order: announce, announce-list, created by, info, url-list; the d…e of both parts go
  return Buffer.concat([
    before.subarray(0, -1),
    Buffer.from('4:info'),
    info,
    after.subarray(1, -1),
    Buffer.from('e'),
  ])
}

function decode(bytes: Uint8Array): {
  infoSpan: Span
  info: BencodeDictionary
  torrent: BencodeDictionary
} {
  try {
    const { entries, spans } = readDictionary(bytes, LIMITS)
    const info = entries.get('info')
    const infoSpan = spans.get('info')
    if (infoSpan && info instanceof Map) return { infoSpan, info, torrent: entries }
  } catch (error) {
    throw invalid(`not bencoded as BEP 3 says: ${messageOf(error)}`, error)
  }
  throw invalid('no info dictionary')
}

function parseShape(info: BencodeDictionary) {
  if (info.has('files')) {
    throw invalid('it has a list of files; make it from the image file itself, not from a folder')
  }
  const pieces = info.get('pieces')
  if (!(pieces instanceof Uint8Array)) {
    throw invalid('no v1 piece hashes (BEP 3); make a v1 or hybrid torrent')
  }
  const lengthBytes = info.get('length')
  const pieceLength = info.get('piece length')
  if (!isCount(lengthBytes) || lengthBytes === 0) throw invalid('no positive length')
  if (!isCount(pieceLength) || pieceLength === 0 || pieceLength % BLOCK_BYTES !== 0) {
    throw invalid(`piece length ${String(pieceLength)} is no multiple of ${BLOCK_BYTES} bytes`)
  }
  if (pieceLength > MAX_PIECE_BYTES) {
    throw invalid(`piece length ${pieceLength} is above ${formatBytes(MAX_PIECE_BYTES)}`)
  }
  const pieceCount = Math.ceil(lengthBytes / pieceLength)
  if (pieceCount > MAX_PIECES) throw invalid(`${pieceCount} pieces, at most ${MAX_PIECES}`)
  if (pieces.length !== pieceCount * HASH_BYTES) {
    throw invalid(
      `${pieces.length} bytes of hashes where ${pieceCount} pieces need ${HASH_BYTES} each`,
    )
  }
  return { lengthBytes, pieceLength, pieceCount, pieces: Uint8Array.from(pieces) }
}

/** BEP 12: announce-list, where it names a tracker, replaces announce. */
function parseTrackers(torrent: BencodeDictionary): string[][] {
  const list = torrent.get('announce-list')
  const tiers = trackerTiers(Array.isArray(list) ? list : [list])
  return tiers.length > 0 ? tiers : trackerTiers([torrent.get('announce')])
}

function trackerTiers(tiers: readonly (BencodeValue | undefined)[]): string[][] {
  return tiers
    .map((tier) => texts(tier).flatMap((text) => text.split(/\s+/).filter(isTrackerUrl)))
    .filter((tier) => tier.length > 0)
}

function texts(value: BencodeValue | undefined): string[] {
  const items = Array.isArray(value) ? value : [value]
  return items.map(textOf).filter((text) => text !== undefined && text !== '') as string[]
}

function textOf(value: BencodeValue | undefined): string | undefined {
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : undefined
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function invalid(details: string, cause?: unknown): AgentError {
  return new AgentError('InvalidMetainfoError', `torrent refused: ${details}`, { cause })
}
