import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  isTrackerUrl,
  mergeTrackers,
  trackerLabel,
  trackerSecrets,
} from '../../../../../agent/sources/swarm/torrent/trackers.ts'

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

test('only absolute http, https and udp urls are trackers: nobody here speaks over WebSocket', () => {
  for (const url of ['http://h/a', 'https://h/a', 'udp://h:1/a', 'HTTP://h/a', 'udp://[::1]:1']) {
    expect(isTrackerUrl(url), url).toBe(true)
  }
  for (const url of [
    'ws://h',
    'wss://h',
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

test.each([
  ['http://h:6969/announce', 'http://h:6969/announce'],
  ['https://h/0123456789abcdef0123/announce', 'https://h/***/announce'],
  ['https://h/announce/0123456789abcdef0123', 'https://h/announce/***'],
  ['https://h/a1b2c3/announce.php?passkey=topsecret', 'https://h/***/announce.php?***'],
  ['http://user:topsecret@h/announce', 'http://h/announce'],
  ['udp://[fd00::1]:6969/topsecret', 'udp://[fd00::1]:6969/***'],
  ['udp://h:6969', 'udp://h:6969'],
  ['no url', 'a tracker'],
])('%s is shown without its secrets', (url, label) => {
  expect(trackerLabel(url)).toBe(label)
})

test('what may be a secret of a url is known, and what is a word is none', () => {
  const url = 'https://longuser:long%20pass@h/0123456789abcdef/tracker/announce?key=1&pk=abcdefghij'
  expect(trackerSecrets(url).toSorted()).toEqual(
    ['0123456789abcdef', 'abcdefghij', 'long pass', 'long%20pass', 'longuser'].toSorted(),
  )
  expect(trackerSecrets('no url')).toEqual([])
})
