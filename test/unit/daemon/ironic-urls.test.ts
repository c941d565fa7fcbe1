import { describe, expect, test } from 'vitest'
import { findIronicUrls } from '../../../agent/daemon/ironic-urls.ts'

const NOTHING = {
  api_url: [],
  use_mdns: false,
  inspection_callback_url: [],
  inspection_collectors: [],
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
      'a managed inspection',
      { inspection_callback_url: ['http://a:5050/v1/continue'] },
      [],
      [/in-band inspection.*ipa-inspection-callback-url.*nothing is posted/, /waits/],
    ],
    [
      'inspection beside a url',
      { inspection_collectors: ['default'], api_url: HTTP },
      HTTP,
      [/collectors/],
    ],
  ])('with %s it names what is left out', (_what, options, urls, words) => {
    const found = findIronicUrls({ ...NOTHING, ...options })
    expect(found.urls).toEqual(urls)
    expect(found.notices).toHaveLength(words.length)
    for (const [i, word] of words.entries()) expect(found.notices[i]).toMatch(word)
  })
})
