import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../agent/core/json.ts'
import { parseWriteRequest, withNode } from '../../../agent/deploy/write-request.ts'

const CONFIG = {
  md5_enabled: true,
  swarm_mode: 'auto',
  swarm_torrent_url: null,
  glance_url: null,
} as const
const IMAGE_INFO = {
  id: 'img',
  urls: ['http://192.0.2.1/img.raw'],
  os_hash_algo: 'sha256',
  os_hash_value: 'ab'.repeat(32),
}
const nodeWith = (file: string) => ({ instance_info: { image_torrent_file: file } })

describe('the config drive of a write', () => {
  test.each([
    ['is the argument', 'outer', 'inner', 'outer'],
    ['is that of image_info where the argument is null', null, 'inner', 'inner'],
    ['is that of image_info where the argument is absent', undefined, 'inner', 'inner'],
    ['is none where the argument is empty, whatever image_info says', '', 'inner', null],
    ['is none where neither is given', undefined, undefined, null],
  ])('%s', (_what, argument, configdrive, expected) => {
    const request = parseWriteRequest({ ...IMAGE_INFO, configdrive }, argument, CONFIG)
    expect(request.configdrive).toBe(expected)
  })

  test.each([5, {}, ['x']])('is refused where the argument is %j', (argument) => {
    expect(() => parseWriteRequest(IMAGE_INFO, argument, CONFIG)).toThrow(
      expect.objectContaining({ type: 'InvalidCommandParamsError', status: 400 }),
    )
  })
})

describe('the torrent of a write', () => {
  const urlsOf = (imageInfo: object, node: object | undefined, config: object = {}) => {
    const all = { ...CONFIG, ...config }
    const request = withNode(parseWriteRequest(imageInfo, null, all), { ...node }, all)
    return request.imageInfo.torrent?.urls ?? null
  }
  const own = { ...IMAGE_INFO, torrent: 'http://192.0.2.1/own.torrent' }
  const byOption = { swarm_torrent_url: 'http://192.0.2.1/{id}.torrent' }

  test('is the one image_info names, whatever node and option say', () => {
    expect(urlsOf(own, nodeWith('http://192.0.2.1/node.torrent'), byOption)).toEqual([
      'http://192.0.2.1/own.torrent',
    ])
  })

  test('is the one the node names, whatever the option says', () => {
    expect(urlsOf(IMAGE_INFO, nodeWith('http://192.0.2.1/node.torrent'), byOption)).toEqual([
      'http://192.0.2.1/node.torrent',
    ])
  })

  test('is the one of option swarm_torrent_url where nobody else names one', () => {
    expect(urlsOf(IMAGE_INFO, {}, byOption)).toEqual(['http://192.0.2.1/img.torrent'])
    expect(urlsOf(IMAGE_INFO, undefined)).toBeNull()
  })

  test('is none with swarm_mode off, even where the name cannot be understood', () => {
    const off = { swarm_mode: 'off', ...byOption }
    expect(urlsOf(own, nodeWith('no url'), off)).toBeNull()
  })

  test('that the node names in words nobody understands is refused', () => {
    expect(() => urlsOf(IMAGE_INFO, nodeWith('no url'))).toThrow(
      expect.objectContaining({ type: 'InvalidCommandParamsError' }),
    )
  })
})

describe('the packing of a write', () => {
  const packingOf = (instanceInfo: object | undefined) => {
    const node = { instance_info: instanceInfo }
    return withNode(parseWriteRequest(IMAGE_INFO, null, CONFIG), node as JsonObject, CONFIG)
      .imageInfo.packing
  }

  test.each([
    ['zstd', { image_compression_type: 'zstd' }],
    ['gzip', { image_compression_type: 'gzip', image_media_type: 'application/x.raw+zstd' }],
    ['zstd', { image_compression_type: null, image_media_type: 'application/x.raw+zstd' }],
    ['gzip', { image_media_type: 'application/gzip' }],
    [null, { image_media_type: 'application/octet-stream' }],
    [null, { image_compression_type: 7 }],
    [null, {}],
    [null, undefined],
  ])('is %s by instance_info %j', (packing, instanceInfo) => {
    expect(packingOf(instanceInfo)).toBe(packing)
  })

  test('is unknown of a command that came before its node', () => {
    expect(parseWriteRequest(IMAGE_INFO, null, CONFIG).imageInfo.packing).toBeNull()
  })
})
