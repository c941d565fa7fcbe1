import { describe, expect, test } from 'vitest'
import { findIronicUrls } from '../../../agent/daemon/ironic-urls.ts'

const NOTHING = {
  api_url: [],
  use_mdns: false,
  inspection_callback_url: [],
}
const HTTP = ['http://a:6385', 'http://b:6385']

describe('findIronicUrls', () => {
  test('says nothing where the settings ask for what there is', () => {
    expect(findIronicUrls({ ...NOTHING, api_url: HTTP })).toEqual({ urls: HTTP, notices: [] })
  })

  test.each([
    ['mdns alone', { api_url: ['mdns'] }, [], [/mDNS, which this version cannot do$/, /waits/]],
    [
      'mdns among urls',
      { api_url: ['mdns', ...HTTP] },
      HTTP,
      [/mDNS.*; http:\/\/a:6385, .* is used/],
    ],
    ['use_mdns without a url', { use_mdns: true }, [], [/mDNS/, /waits/]],
    [
      'use_mdns beside urls, which IPA does not look at',
      { use_mdns: true, api_url: HTTP },
      HTTP,
      [],
    ],
    ['nothing', {}, [], [/no URL of Ironic is known.*ipa-api-url=/]],
    [
      'inspection alone, for which Ironic names no other URL',
      { inspection_callback_url: ['http://a:5050/v1/continue'] },
      [],
      [],
    ],
    [
      'inspection by mdns',
      { inspection_callback_url: ['mdns'] },
      [],
      [/ipa-inspection-callback-url.*mDNS.*nothing is posted/, /waits/],
    ],
    [
      'inspection by mdns and by a url',
      { inspection_callback_url: ['mdns', 'http://a:5050/v1/continue'] },
      [],
      [/ipa-inspection-callback-url.*its other URLs are used/],
    ],
  ])('with %s it names what is left out', (_what, options, urls, words) => {
    const found = findIronicUrls({ ...NOTHING, ...options })
    expect(found.urls).toEqual(urls)
    expect(found.notices).toHaveLength(words.length)
    for (const [i, word] of words.entries()) expect(found.notices[i]).toMatch(word)
  })
})
