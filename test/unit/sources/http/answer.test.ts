// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ifRangeOf,
  isOtherEntity,
  judgeHead,
  parseContentRange,
} from '../../../../agent/sources/http/answer.ts'

const url = 'http://origin/image.raw?temp_url_sig=secret'

describe('Content-Range', () => {
  test('is read as it is written', () => {
    const ranges = fc.tuple(fc.nat(2 ** 40), fc.nat(2 ** 40), fc.nat(2 ** 40))
    fc.assert(
      fc.property(ranges, ([start, length, more]) => {
        const end = start + length + 1
        const total = end + more
        expect(parseContentRange(`bytes ${start}-${end - 1}/${total}`)).toEqual({
          start,
          end,
          total,
        })
        expect(parseContentRange(`bytes ${start}-${end - 1}/*`)).toEqual({
          start,
          end,
          total: null,
        })
      }),
    )
  })

  test.each(['bytes=5-9/100', 'bytes: 5-9/100', 'Bytes  5 - 9 / 100'])(
    'is understood as %s',
    (text) => {
      expect(parseContentRange(text)).toEqual({ start: 5, end: 10, total: 100 })
    },
  )

  test('that makes no sense is none', () => {
    for (const text of [
      null,
      '',
      'bytes */100',
      'bytes 5-4/100',
      'bytes 0-100/100',
      'bytes -5-9/100',
      'bytes 0-9/1e3',
      'items 0-9/100',
      'bytes 0-99999999999999999999/*',
    ]) {
      expect(parseContentRange(text)).toBeNull()
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        const range = parseContentRange(text)
        expect(range === null || range.end > range.start).toBe(true)
      }),
    )
  })
})

describe('the head of an answer', () => {
  test('of 200 names the whole image', () => {
    const head = { status: 200, headers: { 'content-length': '1000', etag: '"a"' }, url }
    expect(judgeHead(head, undefined)).toMatchObject({ start: 0, end: 1000, totalBytes: 1000 })
    expect(judgeHead(head, { offset: 10, length: 5 })).toMatchObject({ start: 0, isPartial: false })
  })

  test('of 206 must be the range asked for, or a beginning of it', () => {
    const range = { offset: 100, length: 50 }
    const answer = (contentRange: string, length?: string) =>
      judgeHead(
        {
          status: 206,
          headers: {
            'content-range': contentRange,
            ...(length === undefined ? {} : { 'content-length': length }),
          },
          url,
        },
        range,
      )
    expect(answer('bytes 100-149/1000', '50')).toMatchObject({ start: 100, end: 150 })
    expect(answer('bytes 100-119/1000')).toMatchObject({ start: 100, end: 120 })
    expect(() => answer('bytes 99-149/1000')).toThrow(/names bytes 99-149, asked for bytes 100-149/)
    expect(() => answer('bytes 100-150/1000')).toThrow(/names bytes 100-150/)
    expect(() => answer('bytes 100-149/1000', '49')).toThrow(/Content-Length 49/)
    expect(() => answer('nonsense')).toThrow(/Content-Range nonsense/)
  })

  const whole = (encoding: string | string[]) =>
    judgeHead({ status: 200, headers: { 'content-encoding': encoding }, url }, undefined)
  test.each([
    '',
    ' ',
    'identity',
    ',identity',
    'none',
    'binary',
    'utf-8',
    'UTF-8',
    'aws-chunked',
    '8bit',
  ])('may name the encoding "%s", which encodes nothing', (encoding) => {
    expect(whole(encoding)).toMatchObject({ start: 0 })
  })
  test.each([
    'gzip',
    'GZIP',
    'x-gzip',
    'aws-chunked,gzip',
    'identity, br',
    'deflate',
    'zstd',
    'compress',
  ])('may not name the encoding %s', (encoding) => {
    expect(() => whole(encoding)).toThrow(/Content-Encoding .* although identity was asked for/)
    expect(() => whole(['', encoding])).toThrow(/Content-Encoding/)
  })

  test('that nobody asked a range for must not be 206', () => {
    const head = { status: 206, headers: { 'content-range': 'bytes 0-9/10' }, url }
    expect(() => judgeHead(head, undefined)).toThrow(/asked for the whole image/)
  })

  test.each([
    [401, 'fatal'],
    [400, 'source'],
    [403, 'source'],
    [404, 'source'],
    [407, 'source'],
    [416, 'source'],
    [204, 'source'],
    [304, 'source'],
    [408, 'transient'],
    [425, 'transient'],
    [429, 'transient'],
    [500, 'transient'],
    [501, 'source'],
    [505, 'source'],
    [503, 'transient'],
  ])('of status %i is %s, and never shows a secret of the url', (status, kind) => {
    const judge = () => judgeHead({ status, headers: {}, url }, undefined)
    expect(judge).toThrow(expect.objectContaining({ kind, httpStatus: status }))
    expect(judge).not.toThrow(/secret/)
  })

  test('names the wait the server wishes', () => {
    const judge = () => judgeHead({ status: 503, headers: { 'retry-after': '7' }, url }, undefined)
    expect(judge).toThrow(expect.objectContaining({ retryAfterMs: 7000 }))
  })
})

describe('an entity', () => {
  const strong = { etag: '"a"', lastModified: 'Sat' }
  test('is another when its tag is, else when its date is', () => {
    expect(isOtherEntity(undefined, strong)).toBe(false)
    expect(isOtherEntity(strong, { etag: '"a"', lastModified: 'Sun' })).toBe(false)
    expect(isOtherEntity(strong, { etag: '"b"', lastModified: 'Sat' })).toBe(true)
    expect(isOtherEntity(strong, { etag: null, lastModified: 'Sun' })).toBe(true)
    expect(isOtherEntity({ etag: null, lastModified: null }, strong)).toBe(false)
  })
  test('is a condition by its strong tag, by its date only without a tag', () => {
    expect(ifRangeOf(undefined)).toEqual({})
    expect(ifRangeOf(strong)).toEqual({ 'if-range': '"a"' })
    expect(ifRangeOf({ etag: 'W/"a"', lastModified: 'Sat' })).toEqual({})
    expect(ifRangeOf({ etag: null, lastModified: 'Sat' })).toEqual({ 'if-range': 'Sat' })
  })
})

test('a Content-Range of 62,000 blanks is none, and does not keep it busy', () => {
  for (const text of [`bytes${' '.repeat(62_000)}x`, `bytes=${' '.repeat(62_000)}0-1/2`]) {
    for (let i = 0; i < 1000; i++) expect(parseContentRange(text)).toBeNull()
  }
})
