import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../../agent/core/errors.ts'
import {
  encodeInfo,
  encodeMetainfo,
  MAX_METAINFO_BYTES,
  parseMetainfo,
} from '../../../../../agent/sources/swarm/torrent/metainfo.ts'
import { BLOCK_BYTES } from '../../../../../agent/sources/swarm/torrent/piece-layout.ts'

const PIECE = BLOCK_BYTES
const hashes = (count: number) => new Uint8Array(count * 20).fill(7)
const goodInfo = (fields: Partial<Parameters<typeof encodeInfo>[0]> = {}) =>
  encodeInfo({
    name: 'x',
    lengthBytes: PIECE * 3,
    pieceLength: PIECE,
    pieces: hashes(3),
    ...fields,
  })
const torrent = (info: Uint8Array | string, before = '', after = '') =>
  Buffer.concat([Buffer.from(`d${before}4:info`), Buffer.from(info), Buffer.from(`${after}e`)])
const raw = (text: string) => Buffer.from(text, 'latin1')
const text = (value: string) => `${value.length}:${value}`

describe('a good torrent', () => {
  test('is parsed, and its info-hash is that of the bytes in the file', () => {
    const info = goodInfo()
    const metainfo = parseMetainfo(
      encodeMetainfo(info, { trackers: [['http://a/announce'], ['udp://b:1/announce']] }),
      { expectedBytes: PIECE * 3 },
    )
    expect(metainfo).toMatchObject({
      infoHash: createHash('sha1').update(info).digest('hex'),
      pieceLength: PIECE,
      lengthBytes: PIECE * 3,
      pieceCount: 3,
      isPrivate: false,
      trackers: [['http://a/announce'], ['udp://b:1/announce']],
    })
    expect([...metainfo.info]).toEqual([...info])
  })

  test('may be private, and says so', () => {
    expect(parseMetainfo(torrent(goodInfo({ isPrivate: true }))).isPrivate).toBe(true)
  })

  test('keeps only trackers with a scheme we speak', () => {
    const tiers = `l${[
      'http://ok/announce',
      'file:///etc/passwd',
      'javascript:alert(1)',
      'udp://u:0/a',
    ]
      .map((url) => `l${text(url)}e`)
      .join('')}e`
    const { trackers } = parseMetainfo(torrent(goodInfo(), `13:announce-list${tiers}`))
    expect(trackers).toEqual([['http://ok/announce']])
  })

  test('may carry any name: it is never a path', () => {
    const name = '../../etc/passwd'
    expect(parseMetainfo(torrent(goodInfo({ name }))).name).toBe(name)
  })
})

const infoHashOf = (info: Uint8Array) => createHash('sha1').update(info).digest('hex')
const good = torrent(goodInfo())

// what other programs take, and what changes no value: the hash says which image it is
const TAKEN: Record<string, Uint8Array> = {
  'with a line end behind it': Buffer.concat([good, raw('\n')]),
  'with a line end of Windows behind it': Buffer.concat([good, raw('\r\n')]),
  'padded with zeros to a sector': Buffer.concat([good, new Uint8Array(512)]),
  'with another torrent behind it': Buffer.concat([good, good]),
  'with a byte order mark before it': Buffer.concat([raw('\xef\xbb\xbf'), good]),
  'with line ends before it': Buffer.concat([raw('\r\n\n'), good]),
  'with unsorted keys': torrent(goodInfo(), '1:zi1e'),
}

describe('a torrent is read', () => {
  test.each(Object.entries(TAKEN))('%s', (_what, bytes) => {
    expect(parseMetainfo(bytes).infoHash).toBe(infoHashOf(goodInfo()))
  })

  test.each([
    ['are unsorted', raw('7:private' + 'i1e')],
    ['are not UTF-8', raw('2:\xff\xfei1e')],
  ])('whose info has keys that %s, with the info-hash of its own bytes', (_what, first) => {
    const info = Buffer.concat([raw('d'), first, goodInfo().subarray(1)])
    expect(parseMetainfo(torrent(info)).infoHash).toBe(infoHashOf(info))
  })

  test('whose name is not UTF-8, and shows what can be shown of it', () => {
    const info = Buffer.from(goodInfo({ name: 'abc' }))
    info.set([0xff], info.indexOf('abc') + 1)
    const metainfo = parseMetainfo(torrent(info))
    expect(metainfo).toMatchObject({ name: 'a\uFFFDc', infoHash: infoHashOf(info) })
  })
})

const ANNOUNCE = 'http://h/announce'
const list = (...tiers: string[]) => `13:announce-listl${tiers.join('')}e`
const tier = (...urls: string[]) => `l${urls.map(text).join('')}e`

// BEP 12: the list replaces the url, if it names anybody
const LISTS: Record<string, [string, string[][]]> = {
  'is not there': ['', [[ANNOUNCE]]],
  'is empty': [list(), [[ANNOUNCE]]],
  'has an empty tier': [list('le'), [[ANNOUNCE]]],
  'has empty texts': [list(tier('')), [[ANNOUNCE]]],
  'has schemes that nobody here speaks': [list(tier('dht://', 'wss://h')), [[ANNOUNCE]]],
  'is a number': ['13:announce-listi5e', [[ANNOUNCE]]],
  'is one url': [`13:announce-list${text('udp://a:1')}`, [['udp://a:1']]],
  'is flat': [list(text('udp://a:1'), text('udp://b:1')), [['udp://a:1'], ['udp://b:1']]],
  'has spaces and line ends around urls': [list(tier(' udp://a:1\r\n')), [['udp://a:1']]],
  'has several urls in a text': [list(tier('udp://a:1\nudp://b:1')), [['udp://a:1', 'udp://b:1']]],
  'has a scheme in capitals': [list(tier('HTTP://a/announce')), [['HTTP://a/announce']]],
}

test.each(Object.entries(LISTS))('trackers, where announce-list %s', (_what, [tiers, trackers]) => {
  const before = `${text('announce')}${text(ANNOUNCE)}${tiers}`
  expect(parseMetainfo(torrent(goodInfo(), before)).trackers).toEqual(trackers)
})

const REFUSED: Record<string, [Uint8Array, RegExp]> = {
  'of another length than the image': [
    torrent(goodInfo()),
    /describes 49152 bytes, the image has 5/,
  ],
  'that is no bencode': [raw('hello'), /not bencoded/],
  'that is empty': [new Uint8Array(0), /not bencoded/],
  'without info': [raw('d1:ai1ee'), /no info dictionary/],
  'whose info is no dictionary': [torrent('i1e'), /no info dictionary/],
  'with a repeated key': [raw('d1:ai1e1:ai2ee'), /second time/],
  'with a second info dictionary': [torrent(goodInfo(), '4:infode'), /second time/],
  'with a leading zero': [raw('d1:ai01ee'), /no bencoded value/],
  'with minus zero': [raw('d1:ai-0ee'), /minus zero/],
  'with a number beyond 2^53': [raw('d1:ai99999999999999999999ee'), /too large/],
  'with a string longer than the file': [raw('d1:a999999:xe'), /no bencoded value/],
  'nested too deeply': [raw(`d1:a${'l'.repeat(1_000_000)}`), /too deeply/],
  'with too many values': [raw(`d1:al${'i1e'.repeat(200_000)}ee`), /too many/],
  'with the key __proto__': [raw('d9:__proto__d6:lengthi5eee'), /forbidden/],
  'too large to look at': [new Uint8Array(MAX_METAINFO_BYTES + 1), /at most/],
  'with several files': [
    torrent(
      `d5:filesld6:lengthi5e4:pathl1:aeee4:name1:x12:piece lengthi16384e6:pieces20:${'h'.repeat(20)}e`,
    ),
    /list of files/,
  ],
  'without v1 hashes': [torrent(`d6:lengthi5e12:meta versioni2e4:name1:xe`), /no v1 piece hashes/],
  'with piece length 0': [torrent(goodInfo({ pieceLength: 0 })), /piece length 0/],
  'with an odd piece length': [torrent(goodInfo({ pieceLength: PIECE + 1 })), /no multiple/],
  'with huge pieces': [
    torrent(goodInfo({ pieceLength: 32 * 1024 * 1024, pieces: hashes(1) })),
    /above 16.0 MiB/,
  ],
  'with a negative length': [torrent(goodInfo({ lengthBytes: -5 })), /no positive length/],
  'with too few hashes': [torrent(goodInfo({ pieces: hashes(2) })), /3 pieces need/],
  'with too many hashes': [torrent(goodInfo({ pieces: hashes(4) })), /3 pieces need/],
  'with too many pieces': [torrent(goodInfo({ lengthBytes: PIECE * 262_145 })), /at most 262144/],
}

describe('a torrent is refused', () => {
  for (const [what, [bytes, reason]] of Object.entries(REFUSED)) {
    test(what, () => {
      const expectedBytes = what.includes('another length') ? 5 : undefined
      const parse = () => parseMetainfo(bytes, { expectedBytes })
      expect(parse).toThrow(reason)
      expect(parse).toThrow(
        expect.objectContaining({ type: 'InvalidMetainfoError', kind: 'source' }),
      )
    })
  }
})

/** Parsing ends with a sound torrent or with our error, whatever comes in. */
function parsesOrRefuses(bytes: Uint8Array): void {
  try {
    const { lengthBytes, pieceLength, pieceCount, pieces } = parseMetainfo(bytes)
    expect(pieceCount).toBe(Math.ceil(lengthBytes / pieceLength))
    expect(pieces.length).toBe(pieceCount * 20)
    expect(pieceLength % PIECE).toBe(0)
  } catch (error) {
    if (!isAgentError(error, 'InvalidMetainfoError')) throw error
  }
}

describe('hostile input', () => {
  test('random bytes never do more than be refused', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), parsesOrRefuses), { numRuns: 500 })
  })

  test('a real torrent with bytes changed, cut or doubled never does more than be refused', () => {
    const seed = encodeMetainfo(goodInfo(), {
      trackers: [['http://a/announce']],
      webSeeds: ['http://w/x'],
    })
    const edit = fc.record({
      at: fc.nat(seed.length - 1),
      remove: fc.nat(12),
      insert: fc.oneof(
        fc.uint8Array({ maxLength: 8 }),
        fc.constantFrom('d', 'l', 'e', 'i-1e', '0:', '4:info', 'i9007199254740993e').map(raw),
      ),
    })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let bytes = Buffer.from(seed)
        for (const { at, remove, insert } of edits) {
          bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)])
        }
        parsesOrRefuses(bytes)
      }),
      { numRuns: 1000 },
    )
  })

  test('what we encode we parse', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500_000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.string({ maxLength: 40 }),
        (lengthBytes, blocks, name) => {
          const pieceLength = blocks * PIECE
          const pieces = hashes(Math.ceil(lengthBytes / pieceLength))
          const info = encodeInfo({ name, lengthBytes, pieceLength, pieces })
          const metainfo = parseMetainfo(encodeMetainfo(info), { expectedBytes: lengthBytes })
          expect(metainfo.infoHash).toBe(createHash('sha1').update(info).digest('hex'))
        },
      ),
    )
  })
})
