import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseHash, hashFromChecksumFile } from '../../../../agent/image/request/checksum.ts'
import { createHasher } from '../../../../agent/image/request/hash-algorithm.ts'

const SHA256 = 'ab12'.repeat(16)
const SHA512 = 'cd34'.repeat(32)
const MD5 = 'ef56'.repeat(8)
const URL = 'http://host/path/img%20one.raw?sig=1'
const PLAIN = 'http://host/path/img.raw'

describe('the hash an image must have', () => {
  test('is os_hash_* before checksum', () => {
    const osHash = { algo: 'SHA512', value: SHA512 }
    expect(chooseHash({ osHash, checksum: MD5 }, true)).toEqual({
      kind: 'value',
      hash: { algo: 'sha512', value: SHA512 },
    })
  })

  test.each([
    [MD5, 'md5'],
    [SHA256, 'sha256'],
    [SHA512, 'sha512'],
  ])('has the algorithm its length tells: %s', (checksum, algo) => {
    expect(chooseHash({ osHash: null, checksum }, true)).toEqual({
      kind: 'value',
      hash: { algo, value: checksum },
    })
  })

  test('may be written in uppercase', () => {
    const choice = chooseHash({ osHash: null, checksum: SHA256.toUpperCase() }, true)
    expect(choice).toEqual({ kind: 'value', hash: { algo: 'sha256', value: SHA256 } })
  })

  test('falls back to checksum when the algorithm is not known here', () => {
    const osHash = { algo: 'whirlpool', value: SHA512 }
    expect(chooseHash({ osHash, checksum: SHA256 }, true)).toMatchObject({
      hash: { algo: 'sha256' },
    })
    expect(() => chooseHash({ osHash, checksum: null }, true)).toThrow(/whirlpool cannot/)
  })

  test('may hide behind a url, in either field', () => {
    const url = 'https://host/SHA256SUMS'
    expect(chooseHash({ osHash: null, checksum: url }, true)).toEqual({
      kind: 'url',
      url,
      algo: null,
    })
    expect(chooseHash({ osHash: { algo: 'sha512', value: url }, checksum: null }, true)).toEqual({
      kind: 'url',
      url,
      algo: 'sha512',
    })
  })

  test.each([
    ['a digest too short for its algorithm', { algo: 'sha256', value: MD5 }, null, true, /64/],
    ['letters beyond f', { algo: 'sha256', value: 'xy'.repeat(32) }, null, true, /hex digits/],
    ['a checksum of no known length', null, 'ab'.repeat(20), true, /32, 64 or 128/],
    ['MD5 where it is forbidden', null, MD5, false, /md5_enabled/],
    ['an inherited property name', { algo: 'constructor', value: SHA256 }, null, true, /cannot/],
  ])('is refused: %s', (_, osHash, checksum, md5Enabled, reason) => {
    expect(() => chooseHash({ osHash, checksum }, md5Enabled)).toThrow(reason)
  })

  test("has Python's names", () => {
    expect(createHasher('sha3_256').update('').digest('hex')).toMatch(/^a7ffc6f8bf1ed766/)
    expect(createHasher('blake2b').update('').digest('hex')).toMatch(/^786a02f742015903/)
  })
})

describe('a checksum file', () => {
  const read = (text: string, url = PLAIN, algo: string | null = null, md5 = true) =>
    hashFromChecksumFile(text, url, algo, md5)

  test.each([
    ['one bare digest', `\n  ${SHA256.toUpperCase()}\n\n`],
    ['two columns', `${MD5.replace('e', 'a')}  other.raw\n${SHA256}  img.raw\n`],
    ['a binary marker', `${SHA256} *img.raw`],
    ['BSD style', `SHA256 (img.raw) = ${SHA256}`],
    ['name first', `img.rawx ${MD5}\nSHA256 (img.raw) = ${SHA256}`],
    ['comments', `# ${MD5}  img.raw\n${SHA256}  img.raw`],
    ['CRLF', `${SHA256}  img.raw\r\n${MD5}  b\r\n`],
  ])('is understood: %s', (_, text) => {
    expect(read(text)).toEqual({ algo: 'sha256', value: SHA256 })
  })

  test('names the file of the first url, as spelled or decoded', () => {
    expect(read(`${SHA256}  img one.raw\n`, URL).value).toBe(SHA256)
    expect(read(`${SHA256}  img%20one.raw\n`, URL).value).toBe(SHA256)
  })

  test('with the same name several times gives the digest that is wanted', () => {
    const text = `${MD5}  img.raw\n${SHA256}  img.raw\n${SHA512}  img.raw`
    expect(read(text).algo).toBe('md5')
    expect(read(text, PLAIN, null, false).algo).toBe('sha256')
    expect(read(text, PLAIN, 'sha512').value).toBe(SHA512)
  })

  test('matches the name literally, never as a pattern', () => {
    expect(() => read(`${SHA256}  imgXraw\n${MD5} z`)).toThrow(/does not contain name img.raw/)
    const url = 'http://h/a+(b)%5B.raw'
    expect(read(`${SHA256}  a+(b)[.raw\nx y`, url).value).toBe(SHA256)
  })

  test.each([
    ['nothing', ' \n\n', /Empty checksum file/],
    ['another file only', `${SHA256}  other.raw\n`, /does not contain name/],
    ['a name that only ends alike', `${SHA256}  my-img.raw\n`, /does not contain name/],
    ['a line without a digest', 'hello  img.raw\n', /does not contain name/],
    ['a bare word', 'hello', /hex digits/],
    ['a digest of odd length', `${SHA256}ab  img.raw\n`, /does not contain name/],
    ['HTML', '<html><body>404 img.raw </body></html>', /does not contain name/],
  ])('is refused when it holds %s', (_, text, reason) => {
    expect(() => read(text)).toThrow(reason)
  })

  test('of any content gives a digest from that content, or an ImageChecksumError', () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom(`${SHA256}  img.raw`, `MD5 (img.raw) = ${MD5}`, '# img.raw', SHA512),
    )
    const urls = fc.oneof(fc.webUrl(), fc.constant(PLAIN))
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), urls, (lines, url) => {
        const text = lines.join('\n')
        try {
          const { value } = read(text, url)
          expect(text.toLowerCase()).toContain(value)
        } catch (error) {
          expect(error).toMatchObject({ type: 'ImageChecksumError' })
        }
      }),
    )
  })
})
