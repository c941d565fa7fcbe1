import { describe, expect, test } from 'vitest'
import {
  findTorrent,
  resolveTorrentUri,
  type TorrentCarriers,
} from '../../../../agent/image/request/torrent-reference.ts'

const ID = '6f0c5e2a-1d2b-4c3d-8e9f-0a1b2c3d4e5f'
const NOTHING: TorrentCarriers = {
  fromImageInfo: undefined,
  node: {},
  imageId: 'img.raw',
  torrentUrl: null,
  glanceUrl: null,
}

describe('the torrent of an image', () => {
  test('is unknown when nobody names it', () => {
    expect(findTorrent({ ...NOTHING, node: { instance_info: null } })).toBeNull()
    expect(findTorrent({ ...NOTHING, fromImageInfo: null })).toBeNull()
  })

  test('comes in the shape of the historical payload', () => {
    const fromImageInfo = {
      info: { id: ID, checksum: 'aa', urls: ['http://s/t.torrent'] },
      trackers: ['http://t1/announce', ['udp://t2:6969', 'udp://t3:6969']],
    }
    expect(findTorrent({ ...NOTHING, fromImageInfo })).toEqual({
      metainfo: null,
      urls: ['http://s/t.torrent'],
      checksum: 'aa',
      trackers: [['http://t1/announce'], ['udp://t2:6969', 'udp://t3:6969']],
    })
  })

  test('comes whole, as base64', () => {
    const metainfo = Buffer.from('d4:infodee')
    const found = findTorrent({
      ...NOTHING,
      fromImageInfo: { metainfo: metainfo.toString('base64') },
    })
    expect(found?.metainfo).toEqual(metainfo)
    expect(found?.urls).toEqual([])
  })

  test('is taken from image_info before instance_info before the kernel parameter', () => {
    const node = { instance_info: { image_torrent_file: 'http://node/x' } }
    const torrentUrl = 'http://karg/{id}.torrent'
    const url = (carriers: Partial<TorrentCarriers>) =>
      findTorrent({ ...NOTHING, ...carriers })?.urls[0]
    const fromImageInfo = { info: { urls: ['http://payload/x'] } }
    expect(url({ fromImageInfo, node, torrentUrl })).toBe('http://payload/x')
    expect(url({ node, torrentUrl })).toBe('http://node/x')
    expect(url({ torrentUrl })).toBe('http://karg/img.raw.torrent')
  })

  test('keeps an image id from leaving its place in the url', () => {
    const found = findTorrent({
      ...NOTHING,
      imageId: '../a?b',
      torrentUrl: 'http://s/{id}.torrent',
    })
    expect(found?.urls[0]).toBe('http://s/..%2Fa%3Fb.torrent')
  })

  test.each([
    ['a number', 7, /object or a url/],
    ['nothing in it', {}, /neither metainfo nor info.urls/],
    ['metainfo that is no torrent', { metainfo: 'AAAA' }, /not the base64/],
    ['metainfo that is no text', { metainfo: 5 }, /must be the base64/],
    [
      'trackers that are numbers',
      { info: { urls: ['http://a/b'] }, trackers: [5] },
      /list of strings/,
    ],
    ['a url that is a path', { info: { urls: ['/etc/passwd'] } }, /neither an http/],
  ])('with %s is refused', (_, fromImageInfo, reason) => {
    expect(() => findTorrent({ ...NOTHING, fromImageInfo })).toThrow(reason)
  })
})

describe('a torrent uri', () => {
  test.each([
    ['http://a/b.torrent', null, 'http://a/b.torrent'],
    ['HTTPS://a/b.torrent', null, 'HTTPS://a/b.torrent'],
    [`glance://${ID}`, 'http://glance:9292', `http://glance:9292/v2/images/${ID}/file`],
    [`glance://${ID}`, 'http://glance:9292/v2/', `http://glance:9292/v2/images/${ID}/file`],
    [ID, 'http://glance:9292/', `http://glance:9292/v2/images/${ID}/file`],
    [ID, 'http://store/{id}.torrent', `http://store/${ID}.torrent`],
    [`glare://${ID}`, 'http://glare', `http://glare/artifacts/images/${ID}/image`],
  ])('%s with endpoint %s is %s', (uri, endpoint, url) => {
    expect(resolveTorrentUri(uri, endpoint)).toBe(url)
  })

  test('that needs an endpoint says so when there is none', () => {
    expect(() => resolveTorrentUri(ID, null)).toThrow(/ipa-swarm-glance-url/)
  })

  test.each(['ftp://a/b', 'glance://../../x', 'file:///etc/passwd', ''])('%s is refused', (uri) => {
    expect(() => resolveTorrentUri(uri, 'http://glance')).toThrow(/neither/)
  })
})
