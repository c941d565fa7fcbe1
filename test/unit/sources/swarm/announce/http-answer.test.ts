import { deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TrackerRefusal } from '../../../../../agent/sources/swarm/announce/announcement.ts'
import {
  MAX_ANSWER_BYTES,
  parseHttpAnswer,
} from '../../../../../agent/sources/swarm/announce/http-answer.ts'

const raw = (text: string) => Buffer.from(text, 'latin1')
const text = (value: string) => `${value.length}:${value}`
const peer = '\x7f\0\0\x01\x1a\xe1'
const at = '127.0.0.1:6881'
const parse = (body: string | Uint8Array, encoding = '', status = 200) =>
  parseHttpAnswer(status, typeof body === 'string' ? raw(body) : body, encoding)
const peers = (value: string) => `d8:intervali1800e5:peers${value}e`
const listed = (ip: string, port = 'i6881e') => `d2:ip${text(ip)}4:port${port}e`

const FORMS: Record<string, [string | Uint8Array, string[]]> = {
  compact: [peers(text(peer)), [at]],
  'compact, one after the other': [peers(text(peer + peer)), [at, at]],
  'compact, and something behind': [peers(text(`${peer}xyz`)), [at]],
  'compact, shorter than one': [peers(text('xyz')), []],
  'an empty text': [peers('0:'), []],
  'compact, with port 0 first': [peers(text(`\x7f\0\0\x01\0\0${peer}`)), [at]],
  'a list of dictionaries': [peers(`l${listed('127.0.0.1')}e`), [at]],
  'a list with peer ids': [
    peers(`ld2:ip9:127.0.0.17:peer id20:${'x'.repeat(20)}4:porti6881eee`),
    [at],
  ],
  'a list with many names: each is a question to the resolver': [
    peers(
      `l${['a', 'b', 'c', 'd', 'e', 'f'].map((name) => listed(name)).join('')}${listed('192.0.2.1')}e`,
    ),
    ['a:6881', 'b:6881', 'c:6881', 'd:6881', '192.0.2.1:6881'],
  ],
  'a list with a name': [peers(`l${listed('localhost')}e`), ['localhost:6881']],
  'a list with a mapped address': [peers(`l${listed('::ffff:127.0.0.1')}e`), [at]],
  'a list with IPv6': [
    peers(`l${listed('FD00:0::1')}${listed('[fd00::2]')}e`),
    ['[fd00::1]:6881', '[fd00::2]:6881'],
  ],
  'a list with the port as text': [peers(`l${listed('127.0.0.1', '4:6881')}e`), [at]],
  'a list with broken entries first': [
    peers(
      `li5ed2:ip9:127.0.0.1e${listed('127.0.0.1', 'i0e')}${listed('127.0.0.1', 'i70000e')}${listed('a b')}${listed('::zz')}${listed('127.0.0.1')}e`,
    ),
    [at],
  ],
  'a list of compact ones': [peers(`l${text(peer)}e`), [at]],
  'a dictionary of dictionaries': [peers(`d1:0${listed('127.0.0.1')}e`), [at]],
  'a number': [peers('i5e'), []],
  peers6: [`d6:peers6${text(`${'\0'.repeat(15)}\x01\x1a\xe1`)}e`, ['[::1]:6881']],
  'peers6 with something behind': [`d5:peers${text(peer)}6:peers65:12345e`, [at]],
  'no peers at all': ['de', []],
  'unsorted keys': [`d5:peers${text(peer)}8:intervali1ee`, [at]],
  'a repeated key': [`d5:peers${text(peer)}5:peers0:e`, [at]],
  'a line end behind': [`${peers(text(peer))}\r\n`, [at]],
  'a byte order mark and a line end before': [`\xef\xbb\xbf\r\n${peers(text(peer))}`, [at]],
  'gzip that nobody has asked for': [gzipSync(raw(peers(text(peer)))), [at]],
}

test.each(Object.entries(FORMS))('an answer is understood: %s', (_what, [body, expected]) => {
  expect(parse(body).peers).toEqual(expected)
})

test('an answer in deflate is understood where the server says so', () => {
  expect(parse(deflateSync(raw(peers(text(peer)))), 'deflate').peers).toEqual([at])
})

test.each([
  'i-1e',
  'i0e',
  'i1000000000000000e',
  `i${'9'.repeat(40)}e`,
  'iNaNe',
  'i1.5e',
  'ie',
  'i-0e',
  'i007e',
  '4:1800',
  'le',
])('whatever the intervals are, such as %s, the peers are found', (value) => {
  const body = `d8:interval${value}12:min interval${value}5:peers${text(peer)}e`
  expect(parse(body).peers).toEqual([at])
})

describe('an answer is none', () => {
  test.each([
    ['the tracker refuses', peers('0:').replace('d', 'd14:failure reason6:go off'), 200, 'go off'],
    ['the tracker refuses with another status', 'd14:failure reason6:go offe', 403, 'go off'],
    ['the tracker refuses without words', 'd14:failure reasoni5ee', 200, 'without a reason'],
    ['the status is another', '', 404, 'status 404'],
    ['peers come with another status', peers(text(peer)), 500, 'status 500'],
    ['it is empty', '', 200, 'an empty answer'],
    [
      'it is a page',
      '<html>\n<b>Hi\x1b[2J</b>',
      200,
      'no answer of a tracker: <html> <b>Hi [2J</b>',
    ],
    ['it breaks off', 'd8:int', 200, 'no answer of a tracker: d8:int'],
    ['it is no dictionary', 'i5e', 200, 'no answer of a tracker: i5e'],
  ])('because %s, and the words of the tracker are kept', (_why, body, status, words) => {
    expect(() => parse(body, '', status)).toThrow(new Error(words).message)
  })

  test('because a few bytes of gzip would be a gigabyte', () => {
    const bomb = gzipSync(Buffer.alloc(64 * MAX_ANSWER_BYTES))
    expect(bomb.length).toBeLessThan(MAX_ANSWER_BYTES)
    expect(() => parse(bomb)).toThrow('no answer of a tracker')
  })
})

test('words are one line of bounded length, whatever they are', () => {
  const refuse = () => parse(`d14:failure reason${text(`a\n\x1b\xff${'b'.repeat(5000)}`)}e`)
  expect(refuse).toThrow(TrackerRefusal)
  expect(refuse).toThrow(/^a b{198}…$/)
})

test('a warning hinders nothing, and counts of nodes are taken where they are counts', () => {
  const body = 'd8:completei2e10:incompletei3e5:peers0:10:tracker id2:ab15:warning message3:hmme'
  expect(parse(body)).toEqual({
    peers: [],
    nodes: 5,
    trackerId: Uint8Array.from(raw('ab')),
    warning: 'hmm',
  })
  expect(parse('d8:completei-2e10:incompletei3ee').nodes).toBeUndefined()
})

test('a flood of addresses is cut off', () => {
  expect(parse(peers(text(peer.repeat(5000)))).peers).toHaveLength(1000)
})

test('an answer of any bytes is an answer or an error, and every address is one', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .uint8Array({ maxLength: 60 })
      .map((value) => raw(peers(text(Buffer.from(value).toString('latin1'))))),
    fc
      .array(
        fc.constantFrom('d', 'l', 'e', 'i5e', '5:peers', '2:ip', '1:a', '4:port', '6:peers6'),
        { maxLength: 30 },
      )
      .map((parts) => raw(parts.join(''))),
  )
  fc.assert(
    fc.property(bytes, (body) => {
      try {
        for (const address of parse(body).peers) expect(address).toMatch(/^[^\s]+:\d+$/)
      } catch (error) {
        if (!(error instanceof Error) || error.name === 'AssertionError') throw error
      }
    }),
    { numRuns: 500 },
  )
})
