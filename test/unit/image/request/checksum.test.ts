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

  // digests of `abc` by Python's hashlib: all of algorithms_available that have one length
  test.each([
    ['blake2b', 'ba80a53f981c4d0d', 128],
    ['blake2s', '508c5e8c327c14e2', 64],
    ['md5', '900150983cd24fb0', 32],
    ['md5-sha1', '900150983cd24fb0', 72],
    ['ripemd160', '8eb208f7e05d987a', 40],
    ['sha1', 'a9993e364706816a', 40],
    ['sha224', '23097d223405d822', 56],
    ['sha256', 'ba7816bf8f01cfea', 64],
    ['sha384', 'cb00753f45a35e8b', 96],
    ['sha3_224', 'e642824c3f8cf24a', 56],
    ['sha3_256', '3a985da74fe225b2', 64],
    ['sha3_384', 'ec01498288516fc9', 96],
    ['sha3_512', 'b751850b1a57168a', 128],
    ['sha512', 'ddaf35a193617aba', 128],
    ['sha512_224', '4634270f707b6a54', 56],
    ['sha512_256', '53048e2681941ef9', 64],
    ['sm3', '66c7f0f462eeedd9', 64],
  ])('may be of %s', (algo, beginning, hexDigits) => {
    const digest = createHasher(algo).update('abc').digest('hex')
    expect(digest.slice(0, 16)).toBe(beginning)
    expect(digest).toHaveLength(hexDigits)
    expect(chooseHash({ osHash: { algo, value: digest }, checksum: null }, true)).toEqual({
      kind: 'value',
      hash: { algo, value: digest },
    })
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
    expect(read(text).algo).toBe('sha512')
    expect(read(text, PLAIN, null, false).algo).toBe('sha512')
    expect(read(text, PLAIN, 'sha256').value).toBe(SHA256)
    expect(read(`${MD5}  img.raw\n${SHA256}  img.raw`).algo).toBe('sha256')
    expect(read(`${MD5}  img.raw\n`).algo).toBe('md5')
    expect(() => read(`${MD5}  img.raw\n`, PLAIN, null, false)).toThrow(/md5_enabled/)
  })

  const SHA384 = 'ab12'.repeat(24)
  test.each([
    ['sha512', `SHA2-512(img.raw)= ${SHA512}\nSHA2-256(img.raw)= ${SHA256}`],
    ['sha384', `SHA384 (img.raw) = ${SHA384}\nSHA256 (img.raw) = ${SHA256}`],
    ['sha256', `SHA1 (img.raw) = ${'ab'.repeat(20)}\nSHA256 (img.raw) = ${SHA256}`],
    ['blake2b', `BLAKE2b (img.raw) = ${SHA512}\nSHA256 (img.raw) = ${SHA256}`],
    ['sha3_256', `SHA3-256(img.raw)= ${SHA256}\nMD5(img.raw)= ${MD5}`],
    ['sha512_256', `SHA512/256 (img.raw) = ${SHA256}`],
    ['ripemd160', `RMD160 (img.raw) = ${'ab'.repeat(20)}`],
    ['sm3', `SM3 (img.raw) = ${SHA256}`],
  ])('by its tags gives the strongest: %s', (algo, text) => {
    expect(read(text).algo).toBe(algo)
  })

  test.each([
    ['a dot and a slash', `${SHA256}  ./img.raw`],
    ['a folder', `${SHA256}  build/out/img.raw\n${SHA512}  build/out/other.raw`],
    ['an absolute path', `${SHA256}  /srv/images/img.raw`],
    ['a path of Windows', `${SHA256} *out\\img.raw`],
    ['a binary marker and a dot', `${MD5} *./other.raw\n${SHA256} *./img.raw`],
    ['BSD style with a folder', `SHA256 (./img.raw) = ${SHA256}`],
    ['openssl', `SHA256(img.raw)= ${SHA256}`],
    ['openssl 3', `SHA2-256(out/img.raw)= ${SHA256}`],
    ['openssl in capitals', `SHA256(img.raw)= ${SHA256.toUpperCase()}`],
    ['the name first', `img.raw ${SHA256}\nother.raw ${MD5}`],
    ['the name first, with a colon', `img.raw: ${SHA256}`],
    ['the name first, with tabs and a folder', `./out/img.raw\t\t${SHA256.toUpperCase()}`],
    ['a size between', `${SHA256}  1048576  main/img.raw\n${SHA512} 7 other.raw`],
    ['a line of coreutils that is escaped', `\\${SHA256}  img.raw`],
    ['standard input', `${SHA256}  -\n`],
    ['standard input by openssl', `SHA2-256(stdin)= ${SHA256}\n`],
    ['its algorithm before it', `sha256:${SHA256}`],
    ['a comment over one digest', `# sums of today\r\n${SHA256}\r\n`],
    ['line ends of an old Mac', `${MD5}  b\r${SHA256}  img.raw\r`],
    [
      'a signature around it',
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n${SHA256}  img.raw\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n`,
    ],
    [
      'an algorithm nobody knows beside it',
      `BLAKE3 (img.raw) = ${SHA256.replaceAll('a', 'f')}\n${SHA256}  img.raw`,
    ],
  ])('is understood with %s', (_, text) => {
    expect(read(text)).toEqual({ algo: 'sha256', value: SHA256 })
  })

  const OTHER = 'cd34'.repeat(16)
  test.each([
    ['the one without a folder', `${OTHER}  old/img.raw\n${SHA256}  img.raw`, PLAIN],
    ['the folder of the url', `${OTHER}  img.raw\n${SHA256}  path/img.raw`, PLAIN],
    [
      'the folders of the url',
      `${OTHER}  x/img.raw\n${SHA256}  v2/x/img.raw`,
      'http://h/v2/x/img.raw',
    ],
    ['a whole name before the end of another', `${OTHER}  my img.raw\n${SHA256}  img.raw`, PLAIN],
  ])('with several files of the name gives %s', (_, text, url) => {
    expect(read(text, url).value).toBe(SHA256)
  })

  test.each([
    [
      'two digests for one name',
      `${SHA256}  img.raw\n${OTHER}  ./img.raw`,
      /several sha256 digests/,
    ],
    [
      'two folders and no reason for either',
      `${SHA256}  a/img.raw\n${OTHER}  b/img.raw`,
      /several/,
    ],
    ['a name that ends alike behind a space', `${SHA256}  my img.raw\n`, /does not contain name/],
    ['the name as a folder', `${SHA256}  img.raw/part1\n`, /does not contain name/],
    ['an algorithm nobody knows', `BLAKE3 (img.raw) = ${SHA256}\n`, /does not contain name/],
    ['a keyed hash', `HMAC-SHA256(img.raw)= ${SHA256}\n`, /does not contain name/],
    ['standard input among others', `${SHA256}  -\n${SHA256}  x\n`, /does not contain name/],
    [
      'a digest that is too short for its tag',
      `SHA512 (img.raw) = ${SHA256}\n`,
      /does not contain/,
    ],
  ])('is refused when it holds %s', (_, text, reason) => {
    expect(() => read(text)).toThrow(reason)
  })

  test('with another algorithm than os_hash_algo is refused by both names', () => {
    const text = `SHA3-256 (img.raw) = ${SHA256}`
    expect(() => read(text, PLAIN, 'sha256')).toThrow(
      /sha3_256 for img.raw, os_hash_algo is sha256/,
    )
    expect(read(`${SHA256}  img.raw`, PLAIN, 'sha3_256').algo).toBe('sha3_256')
  })

  test('is read in linear time', () => {
    const text = `${' '.repeat(4000)}x\n`.repeat(250) + `${SHA256}  x/img.raw\n`.repeat(10_000)
    expect(read(text).value).toBe(SHA256)
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

test('lines of 8,000 blanks say nothing, and do not keep it busy', () => {
  const line = `a${' '.repeat(8000)}x y`
  const text = `${`${line}\n`.repeat(100)}${SHA256}  img.raw\n`
  expect(hashFromChecksumFile(text, PLAIN, null, true)).toEqual({ algo: 'sha256', value: SHA256 })
})
