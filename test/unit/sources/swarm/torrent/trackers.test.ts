import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isTrackerUrl, mergeTrackers } from '../../../../../agent/sources/swarm/torrent/trackers.ts'

test('payload, metainfo and configuration are merged in this order, each url once', () => {
  expect(
    mergeTrackers(
      ['http://payload/announce'],
      [['http://meta1/announce', 'http://payload/announce'], ['udp://meta2:1/announce']],
      ['http://config/announce', 'http://meta1/announce'],
    ),
  ).toEqual([
    ['http://payload/announce'],
    ['http://meta1/announce'],
    ['udp://meta2:1/announce'],
    ['http://config/announce'],
  ])
})

test('a list that is not there is an empty one', () => {
  expect(mergeTrackers(undefined, [], undefined)).toEqual([])
})

test('only absolute http, https, udp, ws and wss urls are trackers', () => {
  for (const url of [
    'http://h/a',
    'https://h/a',
    'udp://h:1/a',
    'ws://h',
    'wss://h',
    'udp://[::1]:1',
  ]) {
    expect(isTrackerUrl(url), url).toBe(true)
  }
  for (const url of [
    'file:///x',
    'h:1',
    '',
    'udp://',
    'http://',
    'ftp://h',
    'udp://h:0',
    `http://h/${'a'.repeat(4000)}`,
  ]) {
    expect(isTrackerUrl(url), url).toBe(false)
  }
})

test('however many come in, a bounded number of sound urls comes out, each once', () => {
  const url = fc.oneof(fc.webUrl(), fc.string(), fc.constant('udp://h:1/a'))
  fc.assert(
    fc.property(fc.array(fc.oneof(url, fc.array(url, { maxLength: 50 }))), (list) => {
      const urls = mergeTrackers(list, list).flat()
      expect(urls.length).toBeLessThanOrEqual(32)
      expect(new Set(urls).size).toBe(urls.length)
      expect(urls.every(isTrackerUrl)).toBe(true)
    }),
  )
})
