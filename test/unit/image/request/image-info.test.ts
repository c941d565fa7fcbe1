import { describe, expect, test } from 'vitest'
import { isAgentError } from '../../../../agent/core/errors.ts'
import { type ImageInfoConfig, parseImageInfo } from '../../../../agent/image/request/image-info.ts'

const SHA256 = 'ab'.repeat(32)
const MD5 = 'cd'.repeat(16)
/** As 21.4 sends it for a whole-disk image (contract 5.2). */
const REAL = {
  id: 'img.raw',
  urls: ['http://10.0.0.1/img.raw'],
  disk_format: 'raw',
  container_format: null,
  stream_raw_images: true,
  checksum: MD5,
  os_hash_algo: 'sha256',
  os_hash_value: SHA256,
  node_uuid: '11111111-2222-3333-4444-555555555555',
  configdrive: 'H4sI',
}
const CONFIG: ImageInfoConfig = { md5_enabled: true, swarm_mode: 'auto', glance_url: null }

function refusal(value: unknown, config: ImageInfoConfig = CONFIG): string {
  try {
    parseImageInfo(value, config)
  } catch (error) {
    if (isAgentError(error, 'InvalidCommandParamsError')) return error.details
    throw error
  }
  return 'accepted'
}

describe('image_info', () => {
  test('as a real conductor sends it is understood', () => {
    expect(parseImageInfo(REAL, CONFIG)).toMatchObject({
      id: 'img.raw',
      urls: ['http://10.0.0.1/img.raw'],
      diskFormat: 'raw',
      partition: null,
      checksum: MD5,
      osHash: { algo: 'sha256', value: SHA256 },
      proxies: { http: null, https: null },
      nodeUuid: REAL.node_uuid,
      configdrive: 'H4sI',
      torrent: null,
    })
  })

  test('names no file, but where a person at the machine may: then one alone', () => {
    const file = { ...REAL, urls: ['file:///dev/sda'] }
    expect(refusal(file)).toMatch(/must be an http\(s\) url; files are for ironswarm write/)
    expect(parseImageInfo(file, CONFIG, 'http or file').urls).toEqual(file.urls)
    for (const urls of [
      ['file:///a', 'http://h/a'],
      ['http://h/a', 'FILE:///a'],
      ['file:///a', 'file:///b'],
    ]) {
      expect(() => parseImageInfo({ ...REAL, urls }, CONFIG, 'http or file')).toThrow(/alone/)
    }
  })

  test('ignores unknown keys', () => {
    const info = parseImageInfo({ ...REAL, brand_new: { x: 1 } }, CONFIG)
    expect(info).toEqual(parseImageInfo(REAL, CONFIG))
  })

  test('may hold null where the conductor has nothing to say', () => {
    const info = parseImageInfo(
      { ...REAL, disk_format: null, checksum: null, no_proxy: null, proxies: null, torrent: null },
      CONFIG,
    )
    expect(info).toMatchObject({ diskFormat: null, checksum: null, noProxy: null, torrent: null })
  })

  test.each([
    ['no object', 'img.raw', /must be an object, got string/],
    ['null', null, /must be an object, got null/],
    ['no id', { ...REAL, id: undefined }, /image_info\.id/],
    ['an id that is a number', { ...REAL, id: 7 }, /image_info\.id .* got number/],
    ['no urls', { ...REAL, urls: undefined }, /urls must be a non-empty list/],
    [
      'no list of urls',
      { ...REAL, urls: 'http://a/b' },
      /urls must be a non-empty list, got string/,
    ],
    ['an empty list of urls', { ...REAL, urls: [] }, /non-empty list/],
    ['a url that is none', { ...REAL, urls: ['http://a/b', '/etc/shadow'] }, /urls\[1\]/],
    ['a magnet url', { ...REAL, urls: ['magnet:?xt=urn:btih:ab'] }, /urls\[0\] must be an http/],
    ['an empty checksum', { ...REAL, checksum: '' }, /checksum, when present/],
    ['a checksum that is a number', { ...REAL, checksum: 5 }, /checksum, when present/],
    ['half of a hash pair', { ...REAL, os_hash_value: null }, /must both be non-empty/],
    ['the other half', { ...REAL, os_hash_algo: undefined }, /must both be non-empty/],
    [
      'a disk_format that is a list',
      { ...REAL, disk_format: ['raw'] },
      /disk_format must be a string/,
    ],
    ['proxies that are a string', { ...REAL, proxies: 'http://p' }, /proxies must be an object/],
    ['a password that is a list', { ...REAL, image_server_password: ['x'] }, /must be a string/],
  ])('with %s is refused', (_, value, reason) => {
    expect(refusal(value)).toMatch(reason)
  })

  test('of a bootable container is refused with what to do, whatever else it says', () => {
    const container = { id: 'c', urls: ['oci://registry/os:1'], disk_format: 'bootc' }
    const refused = () => parseImageInfo(container, CONFIG)
    expect(refused).toThrow(expect.objectContaining({ type: 'InvalidImage' }))
    expect(refused).toThrow(/podman and bootc.*bootc-image-builder/)
  })

  const unhashed = { ...REAL, checksum: undefined, os_hash_algo: null, os_hash_value: null }
  test.each([
    ['no checksum at all', unhashed, true, /neither checksum nor os_hash/],
    ['MD5 where it is forbidden', { ...unhashed, checksum: MD5 }, false, /only an MD5/],
    [
      'an MD5 pair where it is forbidden',
      { ...unhashed, os_hash_algo: 'md5', os_hash_value: MD5 },
      false,
      /only an MD5/,
    ],
    ['a short checksum', { ...unhashed, checksum: 'abc' }, true, /neither checksum/],
    ['MD5 where it is allowed', { ...unhashed, checksum: MD5 }, true, /^accepted$/],
    ['a sha256 checksum', { ...unhashed, checksum: SHA256 }, false, /^accepted$/],
    ['a checksum url', { ...unhashed, checksum: 'https://a/SHA256SUMS' }, false, /^accepted$/],
    ['a hash pair beside MD5', { ...REAL }, false, /^accepted$/],
  ])('with %s can or cannot be verified', (_, value, md5_enabled, outcome) => {
    expect(refusal(value, { ...CONFIG, md5_enabled })).toMatch(outcome)
  })

  test('ignores every torrent when the swarm is off, well-formed or not', () => {
    const value = { ...REAL, torrent: { broken: true } }
    expect(parseImageInfo(value, { ...CONFIG, swarm_mode: 'off' }).torrent).toBeNull()
    expect(refusal(value, { ...CONFIG, swarm_mode: 'auto' })).toMatch(/neither metainfo/)
  })
})
